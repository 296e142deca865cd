using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Sandboxes;

/// <summary>A container of a sandbox. Thread-safe; what changes its status is done one at a time.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "a semaphore that nobody polls owns nothing")]
internal sealed class Container
{
    private readonly Sandbox _sandbox;
    private readonly SemaphoreSlim _changing = new(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Process> _execs = [];
    private ContainerStatus _status;
    private ulong _outOfMemoryKills;
    private volatile Resources? _resources;
    private DormantInit? _dormant;
    private PidHolder? _pid;

    internal Container(Sandbox sandbox, ContainerRequest request)
    {
        _sandbox = sandbox;
        (Id, Bundle) = (request.Id, request.Bundle);
        Init = new Process(sandbox, this, "", request.Streams, null);
    }

    public string Id { get; }

    public string Bundle { get; }

    public Process Init { get; }

    /// <summary>As it was when the container was made; null until config.json has been read.</summary>
    public Spec? Spec { get; internal set; }

    /// <summary>Its limits as they are now; null until config.json has been read, or where it has none.</summary>
    public Resources? Resources => _resources ?? Spec?.Linux?.Resources;

    /// <summary>
    /// What callers on the host take for the pid of its first process: its stub's; a thread's, where it is one of a pod's;
    /// else the sandbox's.
    /// </summary>
    public int HostPid => Init.Streams.Pid > 0 ? Init.Streams.Pid : _pid?.Pid ?? _sandbox.HostPid;

    /// <summary>Whether the agent knows it.</summary>
    private bool IsInGuest => _dormant is null or { IsAwake: true };

    /// <summary>How often the container's memory limit has killed.</summary>
    public ulong OutOfMemoryKills => Volatile.Read(ref _outOfMemoryKills);

    public ContainerStatus Status
    {
        get
        {
            lock (_lock)
                return _status;
        }
    }

    /// <summary>The first process for an empty id.</summary>
    /// <exception cref="TtrpcException">NotFound.</exception>
    public Process Get(string execId)
    {
        if (execId.Length == 0)
            return Init;
        lock (_lock)
            return _execs.TryGetValue(execId, out var process)
                ? process
                : throw new TtrpcException(StatusCode.NotFound, $"process {execId} does not exist");
    }

    /// <summary>Opens the start gate; a poststart hook that fails ends the container.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        await ChangeAsync(ContainerAction.Start, async () =>
        {
            Timeline.Mark("start asked for");
            if (IsInGuest)
                await StartInGuestAsync(cancel);
            Timeline.Mark("container started in the guest");
            if (Timeline.IsOn)
                await GuestTimeline.AddAsync(_sandbox.Machine.Agent);
            Init.MarkRunning();
        }, cancel);
        try
        {
            await HostHooks.RunAsync("poststart", Spec?.Hooks?.Poststart, StateFor("running"));
        }
        catch (RuntimeException)
        {
            await KillAsync(cancel);
            throw;
        }
    }

    /// <summary>Adds a process, which its StartAsync then starts. Its streams are taken over, also when this throws.</summary>
    public Process AddExec(string execId, byte[] processJson, ProcessStreams streams)
    {
        try
        {
            StateRoot.ValidateId(execId);
            Require(ContainerAction.Exec);
            var process = new Process(_sandbox, this, execId, streams, processJson);
            lock (_lock)
                return _execs.TryAdd(execId, process)
                    ? process
                    : throw new TtrpcException(StatusCode.AlreadyExists, $"id {execId}");
        }
        catch
        {
            streams.Dispose();
            throw;
        }
    }

    public Task PauseAsync(CancellationToken cancel = default) => ChangeAsync(
        ContainerAction.Pause,
        () => IsInGuest ? _sandbox.CallAsync((agent, stop) => agent.PauseAsync(new PauseRequest { Id = Id }, stop), cancel) : Task.CompletedTask, cancel);

    public Task ResumeAsync(CancellationToken cancel = default) => ChangeAsync(
        ContainerAction.Resume,
        () => IsInGuest ? _sandbox.CallAsync((agent, stop) => agent.ResumeAsync(new ResumeRequest { Id = Id }, stop), cancel) : Task.CompletedTask, cancel);

    /// <exception cref="OciException">Not linux.resources as JSON.</exception>
    public async Task UpdateAsync(byte[] resourcesJson, CancellationToken cancel = default)
    {
        Require(ContainerAction.Update);
        var before = Resources;
        var update = ResourceUpdate.Complete(Contract.Oci.Resources.Parse(resourcesJson), before);
        var request = new UpdateRequest { Id = Id, Resources = ByteString.CopyFrom(update.ToUtf8Json()) };
        try
        {
            // What a higher limit allows is there before it, what a lower one frees goes after.
            _resources = ResourceUpdate.Apply(update, before);
            await _sandbox.GrowAsync(cancel);
            if (IsInGuest)
                await _sandbox.CallAsync((agent, stop) => agent.UpdateAsync(request, stop), cancel);
        }
        catch
        {
            _resources = before;
            throw;
        }
        await _sandbox.ShrinkAsync();
    }

    public Task<StatsResponse> StatsAsync(CancellationToken cancel = default) => !IsInGuest ? Task.FromResult(new StatsResponse()) :
        _sandbox.CallAsync((agent, stop) => agent.StatsAsync(new StatsRequest { Id = Id }, stop), cancel);

    public Task<ProcessesResponse> ProcessesAsync(CancellationToken cancel = default) => !IsInGuest ? Task.FromResult(new ProcessesResponse()) :
        _sandbox.CallAsync((agent, stop) => agent.ProcessesAsync(new ProcessesRequest { Id = Id }, stop), cancel);

    /// <summary>Frees a stopped container; one that was never started is killed first.</summary>
    public Task DeleteAsync(CancellationToken cancel = default) => ChangeAsync(ContainerAction.Delete, async () =>
    {
        if (Status == ContainerStatus.Created)
        {
            await KillAsync(cancel);
            await Init.Exited.WaitAsync(Sandbox.AnswerPatience, cancel);
        }
        if (!_sandbox.Died.IsCompleted && IsInGuest)
            await _sandbox.CallAsync((agent, stop) => agent.DeleteAsync(new DeleteRequest { Id = Id }, stop), cancel);
        await _sandbox.ForgetAsync(this);
        _pid?.Dispose();
        _pid = null;
        await _sandbox.RunPoststopAsync(this);
    }, cancel);

    /// <summary>What hooks read.</summary>
    internal State StateFor(string status) => new()
    {
        OciVersion = Cli.Version.Specification,
        Id = Id,
        Pid = status == "stopped" ? 0 : IsInNetwork(HostPid) ? HostPid : _sandbox.HostPid,
        Status = status,
        Bundle = Bundle,
        Annotations = Spec?.Annotations is { Count: > 0 } annotations ? annotations : null,
    };

    /// <summary>Hooks attach interfaces to the network namespace of the process that they are told: it must not be the host's.</summary>
    private bool IsInNetwork(int pid)
    {
        try
        {
            using var space = pid > 0 ? NamespaceFiles.Of(pid, Namespaces.Network) : null;
            using var own = _sandbox.HoldNetwork();
            return space is not null && own is not null && NetworkNamespaces.Same(space, own);
        }
        catch (LinuxException)
        {
            return false;
        }
    }

    /// <summary>The hooks between the making of the environment, which is the machine, and that of the container in it.</summary>
    internal async Task RunCreationHooksAsync()
    {
        await HostHooks.RunAsync("prestart", Spec?.Hooks?.Prestart, StateFor("creating"));
        await HostHooks.RunAsync("createRuntime", Spec?.Hooks?.CreateRuntime, StateFor("creating"));
    }

    /// <summary>Makes it in the guest, parked before execve; of a pod's sandbox container only what others share.</summary>
    /// <param name="processesOf">The container whose pid namespace it enters; empty: as its specification says.</param>
    internal async Task CreateAsync(Bundle bundle, SharePlan plan, string processesOf, CancellationToken cancel)
    {
        if (DormantInit.IsEnoughFor(bundle, Init.Streams))
        {
            var hold = Request(bundle, plan);
            hold.OnlyNamespaces = true;
            await _sandbox.CallAsync((agent, stop) => agent.CreateContainerAsync(hold, stop), cancel);
            _dormant = new DormantInit(bundle, plan);
            return;
        }
        await CreateInGuestAsync(bundle, plan, processesOf, cancel);
        if (bundle.NeedsSandbox && Init.Streams.Pid == 0)
            _pid = new PidHolder();
    }

    /// <summary>Sees to it that the guest has its first process.</summary>
    internal Task WakeAsync(CancellationToken cancel) => _dormant is null ? Task.CompletedTask : _dormant.WakeAsync(
        async (bundle, plan) =>
        {
            await CreateInGuestAsync(bundle, plan, "", cancel);
            if (Status != ContainerStatus.Created)
                await StartInGuestAsync(cancel);
        }, cancel);

    /// <summary>Where the guest has no first process, does what that would do; false: it has one.</summary>
    internal Task<bool> TrySignalDormantAsync(uint signal, CancellationToken cancel) =>
        _dormant?.SignalAsync(Init, signal, cancel) ?? Task.FromResult(false);

    private Task StartInGuestAsync(CancellationToken cancel) =>
        _sandbox.CallAsync((agent, stop) => agent.StartContainerAsync(new StartContainerRequest { Id = Id }, stop), cancel);

    private CreateContainerRequest Request(Bundle bundle, SharePlan plan) => new()
    {
        Id = Id,
        Config = ByteString.CopyFrom(bundle.Config),
        Overlay = plan.Overlay,
        Seccomp = Seccomp(bundle),
        Bundle = bundle.Directory,
    };

    private async Task CreateInGuestAsync(Bundle bundle, SharePlan plan, string processesOf, CancellationToken cancel)
    {
        await _sandbox.ShareAsync(Id, plan, cancel);
        Timeline.Mark("files shared with the guest");
        var request = Request(bundle, plan);
        request.ProcessesOf = processesOf;
        request.Streams = Init.OpenStreams();
        // Each mount is a few messages of the shared file system: milliseconds, where the guest is emulated.
        var more = TimeSpan.FromMilliseconds(20) * (bundle.Spec.Mounts?.Count ?? 0);
        var answer = await _sandbox.CallAsync((agent, stop) => agent.CreateContainerAsync(request, stop), cancel, more);
        Timeline.Mark("container made in the guest");
        Init.Begin(answer.Pid);
    }

    private static Contract.Agent.SeccompProgram? Seccomp(Bundle bundle) =>
        bundle.Spec.Linux?.Seccomp is { } profile && SeccompProgram.Compile(profile) is var (code, flags)
            ? new Contract.Agent.SeccompProgram { Code = UnsafeByteOperations.UnsafeWrap(code), Flags = flags } : null;

    /// <exception cref="TtrpcException">FailedPrecondition: the status does not allow the action.</exception>
    internal void Require(ContainerAction action) => Lifecycle.After(Status, action, Id);

    internal void Forget(string execId)
    {
        lock (_lock)
            _execs.Remove(execId);
    }

    /// <summary>The first process has ended; the kernel of the guest has killed the others with its pid namespace.</summary>
    internal void MarkStopped()
    {
        List<Process> execs;
        lock (_lock)
        {
            _status = ContainerStatus.Stopped;
            execs = [.. _execs.Values];
        }
        foreach (var process in execs)
            process.NoteKilled();
    }

    internal void NoteOutOfMemory() => Interlocked.Increment(ref _outOfMemoryKills);

    /// <summary>The machine is gone, or the container never came to be.</summary>
    internal void MarkAllExited(ProcessExit exit)
    {
        List<Process> execs;
        lock (_lock)
            execs = [.. _execs.Values];
        foreach (var process in execs)
            process.MarkExited(exit);
        Init.MarkExited(exit);
    }

    private async Task KillAsync(CancellationToken cancel)
    {
        try
        {
            await Init.SignalAsync(Signals.SIGKILL, all: true, cancel);
        }
        catch (TtrpcException error) when (error.Code is StatusCode.NotFound or StatusCode.FailedPrecondition)
        {
            // It has ended by itself.
        }
    }

    private async Task ChangeAsync(ContainerAction action, Func<Task> change, CancellationToken cancel)
    {
        await _changing.WaitAsync(cancel);
        try
        {
            var next = Lifecycle.After(Status, action, Id);
            await change();
            lock (_lock)
                _status = _status == ContainerStatus.Stopped ? _status : next;
        }
        finally
        {
            _changing.Release();
        }
    }
}
