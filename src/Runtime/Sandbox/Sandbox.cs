using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Network;
using KataLike.Runtime.Pools;
using KataLike.Runtime.Storage;
using KataLike.Runtime.Templates;

namespace KataLike.Runtime.Sandboxes;

/// <param name="Bundle">Its config.json says how large the machine must be.</param>
/// <param name="RunsPoststop">A deleted container's poststop hooks are run here; else by whoever deletes it.</param>
internal sealed record SandboxOptions(
    string Id, StateRoot Root, Configuration Configuration, string Bundle, Action<string>? Log = null, bool RunsPoststop = false)
{
    /// <summary>The process joins the cgroup that the bundle names before it starts anything.</summary>
    public bool JoinsCgroup { get; init; }

    /// <summary>The configuration's path; null: the usual one.</summary>
    public string? ConfigurationPath { get; init; }

    /// <summary>A machine that may be the sandbox's; null: the sandbox starts its own.</summary>
    public PreparedMachine? Prepared { get; init; }

    /// <summary>When the bundle's config.json is there.</summary>
    public Task Described { get; init; } = Task.CompletedTask;
}

/// <summary>One virtual machine and its containers. Owns everything that runs for it, and takes it all along when it ends.</summary>
internal sealed class Sandbox : IAsyncDisposable
{
    /// <summary>The most that any call to the agent may take, except those that wait for a process.</summary>
    public static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(60);

    /// <summary>For a sandbox of the same id that is about to be gone.</summary>
    private static readonly TimeSpan EndingPatience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan ShutdownPatience = TimeSpan.FromMilliseconds(1500), QuitPatience = TimeSpan.FromMilliseconds(500);

    private readonly SandboxOptions _options;
    private readonly TaskCompletionSource<string> _died = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _launched = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly LiveVolumes _volumes;
    private readonly BlockDevices _disks;
    private readonly Task<SandboxNetwork> _network;
    private readonly Task _running;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Container> _containers = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Machine? _machine;
    private LocalhostForwards? _forwards;
    private HostCgroup? _cgroup;
    private PidHolder? _pid;
    private TemplateChild? _templateChild;
    private Task? _shutdown;
    private bool _ending;

    private Sandbox(SandboxOptions options, SandboxDirectory directory)
    {
        (_options, Directory) = (options, directory);
        _disks = new BlockDevices(() => Machine.Hypervisor.Devices, Log);
        _volumes = new LiveVolumes((request, cancel) => CallAsync((agent, stop) => agent.UpdateVolumeAsync(request, stop), cancel), Log);
        _network = Task.Run(async () =>
        {
            await options.Described;
            return SandboxNetwork.Open(Bundle.Load(options.Bundle).Spec.Linux, directory.Path, options.Prepared?.Network);
        });
        Ready = Task.Run(BootAsync);
        _running = RunAsync();
    }

    public SandboxDirectory Directory { get; }

    /// <summary>The agent answers. Faults with what kept the machine from starting.</summary>
    public Task Ready { get; }

    /// <summary>Why machine or agent are gone; by then every process has been marked as ended with 137.</summary>
    public Task<string> Died => _died.Task;

    /// <summary>
    /// The pid by which callers on the host find the sandbox's network namespace: QEMU's, where that runs in it, else a thread's. 0 until QEMU runs.
    /// </summary>
    public int HostPid => _pid?.Pid ?? _machine?.Hypervisor.Pid ?? 0;

    /// <summary>A descriptor of one's own of the network namespace that stands for the sandbox's; null: it is gone, or never came to be.</summary>
    public FileDescriptor? HoldNetwork()
    {
        try
        {
            return _network.GetAwaiter().GetResult().TryHold();
        }
        catch (Exception error) when (error is RuntimeException or LinuxException)
        {
            return null;
        }
    }

    public string BootId { get; private set; } = "";

    public string GuestKernel { get; private set; } = "";

    public event Action<SandboxEvent>? Happened;

    public IReadOnlyCollection<Container> Containers
    {
        get
        {
            lock (_lock)
                return [.. _containers.Values];
        }
    }

    /// <summary>Completes with the next container that comes, ends or goes, and with the sandbox's end.</summary>
    public Task Changed
    {
        get
        {
            lock (_lock)
                return _changed.Task;
        }
    }

    /// <summary>Files of the host that its later containers see besides their own mounts, by their place there.</summary>
    public IReadOnlyDictionary<string, string> PodFiles { get; set; } = new Dictionary<string, string>();

    internal Machine Machine => _machine ?? throw new TtrpcException(StatusCode.Unavailable, "the machine is not running");

    /// <summary>Owns the sandbox's directory from here on, and boots in the background.</summary>
    /// <exception cref="RuntimeException">The id is invalid or in use.</exception>
    public static Sandbox Begin(SandboxOptions options)
    {
        var directory = options.Root.Sandbox(options.Id);
        directory.Acquire(EndingPatience);
        if (options.Prepared is { } prepared && !directory.TryTakeOver(prepared.Directory))
            options.Log?.Invoke($"no machine of the pool can be used: {prepared.Directory.Path} is on another file system than {directory.Path} (directory in section [pool])");
        return new Sandbox(options, directory);
    }

    /// <exception cref="TtrpcException">NotFound.</exception>
    public Container Get(string id)
    {
        lock (_lock)
            return _containers.TryGetValue(id, out var container)
                ? container
                : throw new TtrpcException(StatusCode.NotFound, "container does not exist");
    }

    /// <summary>Makes a container; nothing of it is left when this throws. Its streams are taken over in any case.</summary>
    public async Task<Container> CreateAsync(ContainerRequest request, CancellationToken cancel)
    {
        var container = new Container(this, request);
        try
        {
            StateRoot.ValidateId(request.Id);
            var bundle = Bundle.Load(request.Bundle);
            if (bundle.NeedsSandbox && PodFiles.Count > 0)
                bundle = bundle.With(PodFiles);
            container.Spec = bundle.Spec;
            NamespacePaths.Check(bundle.Spec.Linux);
            SecurityLabels.Check(bundle.Spec, Log);
            if (bundle.Spec.Vm is not null && bundle.Directory != Path.GetFullPath(_options.Bundle))
                throw new RuntimeException($"{bundle.Directory}/config.json: $.vm: the machine runs already, the first container of the sandbox chooses");
            var plan = SharePlan.From(bundle.Spec, request.Id, bundle.Directory, request.Rootfs);
            lock (_lock)
                if (!_containers.TryAdd(request.Id, container))
                    throw new TtrpcException(StatusCode.AlreadyExists, $"container with id exists: {request.Id}");
            Timeline.Mark("create asked for, bundle checked");
            await Ready.WaitAsync(cancel);
            (await _network).Require(bundle.Spec.Linux);
            // Before the sources are cloned: what a hook mounts below them is seen in the guest.
            await container.RunCreationHooksAsync();
            await UpdateNetworkAsync();
            // After the hooks: Docker writes the file, and starts what answers, in one of them.
            await _forwards!.ForwardNamesAsync(
                bundle.Spec, request => CallAsync((agent, stop) => agent.ForwardNamesAsync(request, stop), cancel), cancel);
            await GrowAsync(cancel);
            Timeline.Mark("hooks run, network and size fitted");
            await container.CreateAsync(bundle, plan, await ProcessesOfAsync(bundle.Spec, cancel), cancel);
            return container;
        }
        catch (Exception error)
        {
            container.MarkAllExited(ProcessExit.Lost(error.Message));
            await ForgetAsync(container);
            await RunPoststopAsync(container);
            throw;
        }
    }

    /// <summary>Asks the machine to stop, then makes it; removes the sandbox's directory. Takes two seconds at most.</summary>
    public Task ShutdownAsync()
    {
        lock (_lock)
            return _shutdown ??= Task.Run(ShutAsync);
    }

    public async ValueTask DisposeAsync() => await ShutdownAsync();

    /// <summary>Calls the agent: never longer than the deadline, and never beyond the machine's life.</summary>
    /// <param name="more">What a long request may take beyond the usual.</param>
    internal async Task<T> CallAsync<T>(Func<AgentClient, CancellationToken, Task<T>> call, CancellationToken cancel, TimeSpan more = default)
    {
        var patience = AnswerPatience + more;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(patience);
        try
        {
            return await call(Machine.Agent, limit.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new TtrpcException(StatusCode.DeadlineExceeded, $"the agent did not answer within {patience.TotalSeconds:0} s");
        }
        catch (IOException error)
        {
            throw new TtrpcException(StatusCode.Unavailable, $"the sandbox is gone: {error.Message}", error);
        }
    }

    /// <summary>Gives the machine at least the size that its containers' limits need now.</summary>
    internal Task GrowAsync(CancellationToken cancel) => FitAsync(mayShrink: false, cancel);

    /// <summary>Takes from the machine what its containers' limits no longer need; one that does not give it keeps it.</summary>
    internal async Task ShrinkAsync()
    {
        try
        {
            if (!_ending)
                await FitAsync(mayShrink: true, CancellationToken.None);
        }
        catch (TtrpcException error)
        {
            Log($"the machine keeps its size: {error.Message}");
        }
    }

    private Task<bool> FitAsync(bool mayShrink, CancellationToken cancel) => CallAsync(
        async (_, stop) =>
        {
            await Machine.Size.FitAsync(() => Containers.Select(container => container.Resources), mayShrink, stop);
            return true;
        }, cancel);

    internal void NoteChange()
    {
        TaskCompletionSource changed;
        lock (_lock)
            (changed, _changed) = (_changed, new(TaskCreationOptions.RunContinuationsAsynchronously));
        changed.SetResult();
    }

    internal Task ForgetAsync(Container container)
    {
        lock (_lock)
            if (!_containers.TryGetValue(container.Id, out var known) || known != container || !_containers.Remove(container.Id))
                return Task.CompletedTask;
        NoteChange();
        _volumes.Remove(container.Id);
        // Nobody serves the shares any more when the machine is gone; they vanish with it.
        return _machine is { } machine && !_ending ? Task.Run(async () =>
        {
            machine.Shares.Detach(container.Id);
            await _disks.RemoveAsync(container.Id);
            await ShrinkAsync();
        }) : Task.CompletedTask;
    }

    internal Task RunPoststopAsync(Container container) => _options.RunsPoststop
        ? HostHooks.RunPoststopAsync(container.Spec?.Hooks?.Poststop, container.StateFor("stopped"), Log)
        : Task.CompletedTask;

    private Action<string> Log => _options.Log ?? (_ => { });

    /// <summary>Shows the guest what a container needs of the host.</summary>
    internal async Task ShareAsync(string containerId, SharePlan plan, CancellationToken cancel)
    {
        Machine.Shares.Attach(containerId, plan);
        await _volumes.AddAsync(containerId, plan, cancel);
        await _disks.AddAsync(containerId, plan, cancel);
    }

    /// <summary>The container whose processes another one is to see, where its specification names a pid namespace of the host.</summary>
    private async Task<string> ProcessesOfAsync(Spec spec, CancellationToken cancel)
    {
        if (spec.Linux?.FindNamespace("pid")?.Path is not { Length: > 0 } path)
            return "";
        var containers = Containers;
        if (containers.FirstOrDefault(other => other.HostPid != HostPid && path == $"/proc/{other.HostPid}/ns/pid") is { } named)
            return named.Id;
        foreach (var container in containers)
            await container.WakeAsync(cancel);
        return "";
    }

    private async Task BootAsync()
    {
        await _options.Described;
        var bundle = Bundle.Load(_options.Bundle);
        var template = TemplatePlan.For(_options.Configuration);
        var store = new TemplateStore(_options.Configuration.TemplateDirectory);
        if (template is not null && !store.HasAll(template))
            _templateChild = new TemplateChild(_options.ConfigurationPath, store);
        var inCgroups = EnterCgroupsAsync(bundle.Spec);
        // What is started shall be born there; what runs already is moved meanwhile.
        if (_options.Prepared is null)
            await inCgroups;
        var configuration = bundle.Choose(_options.Configuration);
        Timeline.Mark("bundle read");
        var network = await _network;
        Timeline.Mark("network namespace ready");
        var hotPlug = configuration.Machine == MachineType.Q35 && (configuration.UserNetwork || TakesDevices(bundle.Spec));
        var plan = MachinePlan.For(configuration, bundle.Spec, hotPlug);
        if (await TakePreparedAsync(plan, configuration, network) is not { } machine)
        {
            await inCgroups;
            var space = configuration.UserNetwork ? network.StepAside() : network.Namespace;
            var fitting = template?.Fits(plan, _options.Configuration, configuration) is true ? template : null;
            machine = await Machine.StartAsync(_options.Id, configuration, plan, fitting, Directory, space, Log);
        }
        _machine = machine;
        _launched.SetResult();
        var plugging = network.PlugAsync(machine.HotPlug ? machine.Hypervisor.Devices : null, machine.Size.InitialVcpus);
        Directory.Write(new SandboxRecord(Environment.ProcessId, machine.Hypervisor.Pid));
        var answer = await machine.SetUpAsync(
            bundle.Spec.Hostname is { Length: > 0 } name ? name : "katalike",
            TimeSpan.FromSeconds(_options.Configuration.BootTimeoutSeconds));
        Timeline.Mark("sandbox set up in the guest");
        (BootId, GuestKernel) = (Short(answer.BootId), Short(answer.KernelRelease));
        await plugging;
        await UpdateNetworkAsync();
        await inCgroups;
        Timeline.Mark("network told to the guest");
        if (_templateChild is { } child)
            _ = child.BeginAsync();
        _forwards = new LocalhostForwards(network.Namespace, machine.Vsock, Log);
        if (bundle.IsSandboxContainer)
            _forwards.ForwardPorts((request, cancel) => CallAsync((agent, stop) => agent.ForwardPortAsync(request, stop), cancel));
    }

    /// <summary>The machine that has been prepared, if it is what this sandbox needs; else that ends.</summary>
    private async Task<Machine?> TakePreparedAsync(MachinePlan plan, Configuration configuration, SandboxNetwork network)
    {
        if (_options.Prepared is not { } prepared)
            return null;
        await using (prepared)
        {
            if (prepared.Take(TemplatePlan.Kind(_options.Configuration), plan, _options.Configuration, configuration) is not { } machine)
                return null;
            Timeline.MarkGuestBegins("prepared machine taken");
            if (plan.Note is { } note)
                Log(note);
            machine.Become(_options.Configuration, Directory, network.Namespace);
            if (!NetworkNamespaces.Same(prepared.Network, network.Namespace))
                _pid = new PidHolder(network.Namespace);
            return machine;
        }
    }

    /// <summary>Those of the caller, in which a process of the pool was not born; and the one of the pod.</summary>
    private Task EnterCgroupsAsync(Spec spec) => Task.Run(() =>
    {
        var mounts = File.ReadAllLines("/proc/self/mountinfo");
        var others = _options.Prepared?.Processes ?? [];
        if (_options.Prepared is { } prepared)
            HostCgroup.OfProcess(prepared.CallersCgroups, mounts).Enter(others, Log);
        if (_options.JoinsCgroup)
        {
            _cgroup = HostCgroup.Of(spec, mounts);
            _cgroup.Enter(others, Log);
        }
    });

    /// <summary>Whether devices may come to the machine; if not, it boots quicker.</summary>
    private bool TakesDevices(Spec spec) => _options.RunsPoststop || spec.Hooks?.Prestart is { Count: > 0 } || spec.Hooks?.CreateRuntime is { Count: > 0 }
        || spec.Linux?.FindNamespace("network") is { Path.Length: > 0 }
        || HostBlockDevice.From(spec.Linux).Count > 0;

    private async Task UpdateNetworkAsync() => await (await _network).UpdateAsync(TellNetworkAsync);

    private Task TellNetworkAsync(SetNetworkRequest request) =>
        CallAsync((agent, stop) => agent.SetNetworkAsync(request, stop), CancellationToken.None);

    private async Task RunAsync()
    {
        string reason;
        try
        {
            await Ready;
            _ = ListenAsync();
            _ = GuestClock.KeepAsync(Machine.Agent);
            _ = (await _network).FollowAsync(TellNetworkAsync, Log);
            reason = await Machine.EndedAsync();
            if (Volatile.Read(ref _shutdown) is null)
                Log(Machine.Hypervisor.Failure($"sandbox {_options.Id} has ended: {reason}").Message);
        }
        catch (Exception error)
        {
            reason = error is VmException failure ? failure.Reason : error.Message;
        }
        Volatile.Write(ref _ending, true);
        _machine?.Hypervisor.Kill();
        var exit = ProcessExit.Lost(reason);
        foreach (var container in Containers)
            container.MarkAllExited(exit);
        _volumes.Dispose();
        _forwards?.Dispose();
        if (_templateChild is { } child)
            await child.DisposeAsync();
        _died.TrySetResult(reason);
        NoteChange();
        if (_machine is { } machine)
            await machine.DisposeAsync();
        _pid?.Dispose();
        if (_network.IsCompletedSuccessfully)
            await (await _network).DisposeAsync();
    }

    private async Task ListenAsync()
    {
        try
        {
            while (true)
            {
                var answer = await Machine.Agent.NextEventAsync(new NextEventRequest());
                if (answer.EventCase == NextEventResponse.EventOneofCase.OutOfMemory)
                    Report(answer.OutOfMemory);
            }
        }
        catch (Exception error) when (error is IOException or TtrpcException)
        {
            // No events without an agent; what that means is seen elsewhere.
        }
    }

    private void Report(string containerId)
    {
        Container? container;
        lock (_lock)
            if (!_containers.TryGetValue(containerId, out container))
                return;
        container.NoteOutOfMemory();
        NoteChange();
        Happened?.Invoke(new SandboxEvent.OutOfMemory(containerId));
    }

    private async Task ShutAsync()
    {
        try
        {
            await Task.WhenAny(_launched.Task, Died);
            if (_machine is { } machine && !Died.IsCompleted)
                await StopAsync(machine);
            await _running;
        }
        finally
        {
            // Whatever failed above: with this process everything else ends, the directory would stay.
            Directory.Remove();
            _cgroup?.Leave();
        }
    }

    private async Task StopAsync(Machine machine)
    {
        using var limit = new CancellationTokenSource(ShutdownPatience);
        try
        {
            // Answered when everything is written back: what comes after it need not be waited for.
            if (Ready.IsCompletedSuccessfully)
                await machine.Agent.ShutdownAsync(new ShutdownRequest(), limit.Token);
        }
        catch (Exception error) when (error is IOException or TtrpcException or OperationCanceledException)
        {
        }
        await machine.Hypervisor.QuitAsync(QuitPatience);
    }

    /// <summary>A text of the guest, for our logs and answers.</summary>
    private static string Short(string text) => new([.. text.Take(128).Where(c => !char.IsControl(c))]);
}
