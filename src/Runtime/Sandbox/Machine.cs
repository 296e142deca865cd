using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Storage;
using KataLike.Runtime.Templates;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Sandboxes;

/// <summary>All that runs for one sandbox: QEMU, virtiofsd, the vsock device and the connection to the agent.</summary>
internal sealed class Machine : IAsyncDisposable
{
    private static readonly TimeSpan QemuFollows = TimeSpan.FromMilliseconds(300);

    /// <summary>From the moment that a copy runs to its agent's call, which takes a tenth of a second.</summary>
    private static readonly TimeSpan CopyPatience = TimeSpan.FromSeconds(20);

    private readonly Virtiofsd _virtiofsd;
    private readonly VsockChannel _control;
    private MachineSpec _spec = null!;
    private SandboxSize _size = null!;

    private Machine(ShareNamespace shares, IVsock vsock, Virtiofsd virtiofsd, VirtualMachine hypervisor,
        VsockChannel control, AgentClient agent)
    {
        (Shares, Vsock, _virtiofsd, Hypervisor, _control, Agent) = (shares, vsock, virtiofsd, hypervisor, control, agent);
    }

    public ShareNamespace Shares { get; }
    public IVsock Vsock { get; }
    public VirtualMachine Hypervisor { get; }
    public AgentClient Agent { get; }
    public MachineSize Size { get; private set; } = null!;

    /// <summary>Completes when a part without which there is no machine has gone; says which.</summary>
    public async Task<string> EndedAsync()
    {
        var ended = await Task.WhenAny(Hypervisor.Ended, Agent.Connection.Closed, _virtiofsd.Exited);
        // When QEMU ends, the others follow before its own end can be seen: it is named if it is the cause.
        if (ended != Hypervisor.Ended)
            await Task.WhenAny(Hypervisor.Ended, Task.Delay(QemuFollows));
        if (Hypervisor.Ended.IsCompleted)
            return await Hypervisor.Ended + Hypervisor.LastWords;
        return ended is Task<string> reason ? await reason : $"virtiofsd ended: {_virtiofsd.LogTail}";
    }

    /// <summary>Devices can be plugged in.</summary>
    public required bool HotPlug { get; init; }

    /// <summary>
    /// Starts everything; returns while the guest boots. Where there is a template it is a copy of that: it returns when the agent
    /// has dialled, and one that comes to nothing is thrown away and made up for by a boot.
    /// </summary>
    /// <param name="network">The network namespace in which QEMU runs: callers that ask for its process's find the sandbox's. Null: the host's.</param>
    public static async Task<Machine> StartAsync(
        string name, Configuration configuration, MachinePlan plan, TemplatePlan? template, SandboxDirectory directory, FileDescriptor? network, Action<string> log)
    {
        Timeline.Mark("programs found, size chosen");
        if (plan.Note is { } note)
            log(note);
        // With a process comes the number of its threads: processors that are to run beside each other need more.
        if (template?.ProcessKey is { } process && plan.Size.Vcpus == 1
            && await TryCopyAsync(name, configuration, plan, template, process, directory, network, log) is { } copy)
            return copy;
        if (template is not null && await TryCopyAsync(name, configuration, plan, template, template.Key, directory, network, log) is { } restored)
            return restored;
        return await StartAsync(configuration, plan.Size, plan.Programs, plan.Spec with { Name = name }, memory: null, directory, network, log);
    }

    /// <summary>A copy of a template, for no sandbox yet.</summary>
    /// <exception cref="VmException">It does not come to life.</exception>
    /// <exception cref="QmpException">It does not fit.</exception>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static Task<Machine> RestoreAsync(
        Configuration configuration, TemplatePlan template, Template saved, bool isProcess, SandboxDirectory directory, Action<string> log) =>
        CopyAsync("template", configuration, template.Machine, template, saved, isProcess, directory, network: null, log);

    /// <returns>Null: there is none, or it has turned out to be of no use and was thrown away.</returns>
    private static async Task<Machine?> TryCopyAsync(
        string name, Configuration configuration, MachinePlan plan, TemplatePlan template, string key, SandboxDirectory directory,
        FileDescriptor? network, Action<string> log)
    {
        var store = new TemplateStore(configuration.TemplateDirectory);
        using var saved = store.Find(key);
        if (saved is null)
            return null;
        var isProcess = key == template.ProcessKey;
        if (isProcess && !saved.FitsHost)
        {
            store.Discard(key);
            return null;
        }
        if (isProcess && !saved.HasProcess)
            return null;
        try
        {
            return await CopyAsync(name, configuration, plan, template, saved, isProcess, directory, network, log);
        }
        catch (Exception error) when (error is VmException or QmpException or InvalidDataException)
        {
            log($"the template{(isProcess ? "'s process" : "")} is of no use and is thrown away, the sandbox {(isProcess ? "does without" : "boots")}: {error.Message}");
            store.Discard(key);
            return null;
        }
    }

    private static async Task<Machine> CopyAsync(
        string name, Configuration configuration, MachinePlan plan, TemplatePlan template, Template saved, bool isProcess, SandboxDirectory directory,
        FileDescriptor? network, Action<string> log)
    {
        var spec = template.Machine.Spec with { Name = name, Origin = MachineOrigin.Copy, Parallel = plan.Size.Vcpus > 1 };
        using var memory = Memory.CreateFile("memory", (ulong)spec.MemoryMib << 20);
        var machine = await StartAsync(configuration, template.Machine.Size, plan.Programs, spec, memory, directory, network, log, isProcess ? saved : null);
        try
        {
            // While QEMU is starting.
            saved.CopyMemory(memory);
            Timeline.Mark("memory copied");
            using var state = isProcess ? null : saved.OpenState();
            await machine.WhileRunningAsync(machine.Hypervisor.RestoreAsync(machine._spec, state).WaitAsync(CopyPatience));
            Timeline.MarkGuestBegins("machine restored");
            await machine.WhileRunningAsync(machine._control.Connected.WaitAsync(CopyPatience));
            return machine;
        }
        catch (Exception error)
        {
            await machine.DisposeAsync();
            if (error is TimeoutException or OperationCanceledException)
                throw machine.Hypervisor.Failure($"its agent did not answer within {CopyPatience.TotalSeconds:0} s", error);
            throw;
        }
    }

    private static async Task<Machine> StartAsync(
        Configuration configuration, SandboxSize size, ProgramPaths programs, MachineSpec spec, FileDescriptor? memory, SandboxDirectory directory,
        FileDescriptor? network, Action<string> log, Template? image = null)
    {
        var undo = new Stack<Func<ValueTask>>();
        try
        {
            var shares = ShareNamespace.Enter(directory.Shared, network);
            undo.Push(() => { shares.Dispose(); return default; });
            Timeline.Mark("namespace for shares entered");
            var (vsock, vsockSpec, vsockDescriptor) = OpenVsock(log);
            undo.Push(vsock.DisposeAsync);
            var (agent, control) = Control(vsock);
            undo.Push(agent.Connection.DisposeAsync);
            Timeline.Mark("vsock device opened");
            var virtiofsd = Virtiofsd.Start(
                programs.Virtiofsd, directory.Shared, shares, directory.Handle, directory.VirtiofsdLog, accessLists: configuration.Kernel is null);
            undo.Push(virtiofsd.DisposeAsync);
            spec = spec with { Vsock = vsockSpec, SharedFilesDescriptor = VirtualMachine.SharedFilesNumber };
            Timeline.Mark("virtiofsd started");
            var hypervisor = VirtualMachine.Start(
                programs.Qemu, spec, new MachineDescriptors(vsockDescriptor, virtiofsd.FrontEnd) { Memory = memory }, shares,
                directory.ConsoleLog, directory.QemuLog, image);
            Timeline.MarkGuestBegins("QEMU started");
            vsockDescriptor.Dispose();
            return new Machine(shares, vsock, virtiofsd, hypervisor, control, agent)
            {
                _spec = spec,
                _size = size,
                HotPlug = spec.HotPlug,
                Size = new MachineSize(configuration, size, spec.Accelerator, hypervisor.Devices, agent),
            };
        }
        catch
        {
            while (undo.TryPop(out var step))
                await step();
            throw;
        }
    }

    /// <summary>One that was started for whoever would come is this sandbox's from here on.</summary>
    /// <param name="directory">The one in which it was started, which has another name now.</param>
    /// <param name="network">What is started beside it from now on is in this network namespace.</param>
    public void Become(Configuration configuration, SandboxDirectory directory, FileDescriptor network)
    {
        Size = new MachineSize(configuration, _size, _spec.Accelerator, Hypervisor.Devices, Agent);
        Shares.Move(directory.Shared, network);
    }

    /// <summary>The pids of all that runs for it on the host, but for this process's own.</summary>
    public IReadOnlyList<int> Processes() => [Hypervisor.Pid, .. _virtiofsd.Processes()];

    /// <summary>Waits for the agent and tells it who it is.</summary>
    /// <exception cref="VmException">The machine ended, or the agent did not answer in time.</exception>
    /// <param name="rehearsal">It is to be no sandbox's.</param>
    public async Task<SetUpSandboxResponse> SetUpAsync(string hostname, TimeSpan patience, bool rehearsal = false)
    {
        using var limit = new CancellationTokenSource(patience);
        try
        {
            // Before that the guest has no use for it, and the time in it would be late by a boot.
            await WhileRunningAsync(_control.Connected.WaitAsync(limit.Token));
            Timeline.Mark("agent connected");
            var answer = Agent.SetUpSandboxAsync(SetUp(hostname, rehearsal), limit.Token);
            await WhileRunningAsync(answer);
            return await answer;
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            throw Hypervisor.Failure($"the agent did not answer within {patience.TotalSeconds:0} s (boot_timeout_seconds)");
        }
        catch (Exception error) when (error is TtrpcException or IOException or OperationCanceledException)
        {
            // QEMU's end breaks the connection first, and says more.
            if (await Task.WhenAny(Hypervisor.Ended, Task.Delay(TimeSpan.FromSeconds(1))) == Hypervisor.Ended)
                throw Hypervisor.Failure($"the machine did not start: {await Hypervisor.Ended}", error);
            throw Hypervisor.Failure($"the agent did not set the sandbox up: {error.Message}", error);
        }
    }

    /// <summary>Takes from the machine what is this sandbox's; then it waits for another's.</summary>
    /// <returns>What of its memory never moves and is given to no device.</returns>
    /// <exception cref="QmpException">QEMU is gone.</exception>
    public async Task<IReadOnlyList<MemoryRange>> WithdrawAsync(CancellationToken cancel)
    {
        var answer = await Agent.WithdrawAsync(new WithdrawRequest(), cancel);
        await Agent.Connection.DisposeAsync();
        await Hypervisor.WithdrawAsync(cancel);
        await WhileRunningAsync(Hypervisor.SaidAsync(TemplateMaker.Ready).WaitAsync(cancel));
        return answer.Fixed;
    }

    private static SetUpSandboxRequest SetUp(string hostname, bool rehearsal) => new()
    {
        Hostname = hostname,
        Rehearsal = rehearsal,
        Shares = { new Share { Tag = SharedFiles.Tag, Type = "virtiofs" } },
        Entropy = ByteString.CopyFrom(RandomBytes.Get(64)),
        Time = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow),
    };

    /// <summary>Waits for a step of the start, no longer than QEMU lives.</summary>
    private async Task WhileRunningAsync(Task step)
    {
        if (await Task.WhenAny(step, Hypervisor.Ended) != step)
            throw Hypervisor.Failure($"the machine did not start: {await Hypervisor.Ended}");
        await step;
    }

    private static (IVsock, VsockSpec, FileDescriptor) OpenVsock(Action<string> log)
    {
        if (KernelVsock.TryCreate() is { } kernel)
            return (kernel, new VsockSpec.Kernel(kernel.GuestCid, VirtualMachine.VsockNumber), kernel.Vhost.Duplicate());
        var own = new VhostUserVsock(report: log);
        return (own, new VsockSpec.VhostUser(VirtualMachine.VsockNumber), own.FrontEnd);
    }

    /// <summary>The port that the agent dials: the one with its own machine's number.</summary>
    private static (AgentClient, VsockChannel) Control(IVsock vsock)
    {
        var (ours, guests) = UnixSockets.Pair();
        var channel = vsock.Open(vsock.GuestCid, guests, guests);
        return (new AgentClient(new TtrpcClient(SocketStreams.Take(ours))), channel);
    }

    /// <summary>Ends everything at once. The order keeps each from missing what it needs.</summary>
    public async ValueTask DisposeAsync()
    {
        await Agent.Connection.DisposeAsync();
        await Hypervisor.DisposeAsync();
        await Vsock.DisposeAsync();
        await _virtiofsd.DisposeAsync();
        Shares.Dispose();
    }
}
