using System.Globalization;
using System.Security.Cryptography;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Storage;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Sandboxes;

/// <summary>All that runs for one sandbox: QEMU, virtiofsd, the vsock device and the connection to the agent.</summary>
internal sealed class Machine : IAsyncDisposable
{
    private static readonly TimeSpan QemuFollows = TimeSpan.FromMilliseconds(300);

    private readonly Virtiofsd _virtiofsd;
    private readonly VsockChannel _control;

    private Machine(ShareNamespace shares, IVsock vsock, Virtiofsd virtiofsd, VirtualMachine hypervisor,
        VsockChannel control, AgentClient agent)
    {
        (Shares, Vsock, _virtiofsd, Hypervisor, _control, Agent) = (shares, vsock, virtiofsd, hypervisor, control, agent);
    }

    public ShareNamespace Shares { get; }
    public IVsock Vsock { get; }
    public VirtualMachine Hypervisor { get; }
    public AgentClient Agent { get; }
    public required MachineSize Size { get; init; }

    /// <summary>Completes when a part without which there is no machine has gone; says which.</summary>
    public async Task<string> EndedAsync()
    {
        var ended = await Task.WhenAny(Hypervisor.Ended, Agent.Connection.Closed, _virtiofsd.Exited);
        // When QEMU ends, the others follow before its own end can be seen: it is named if it is the cause.
        if (ended != Hypervisor.Ended)
            await Task.WhenAny(Hypervisor.Ended, Task.Delay(QemuFollows));
        if (Hypervisor.Ended.IsCompleted)
            return await Hypervisor.Ended;
        return ended is Task<string> reason ? await reason : $"virtiofsd ended: {_virtiofsd.LogTail}";
    }

    /// <summary>Starts everything; returns while the guest boots.</summary>
    /// <param name="container">The first one, which says how large the machine must be.</param>
    /// <param name="hotPlug">Devices may come later.</param>
    /// <param name="network">The network namespace in which QEMU runs: callers that ask for its process's find the sandbox's. Null: the host's.</param>
    public static async Task<Machine> StartAsync(
        string name, Configuration configuration, Spec container, bool hotPlug, SandboxDirectory directory, FileDescriptor? network, Action<string> log)
    {
        var programs = ProgramPaths.Find(configuration);
        var accelerator = ChosenAccelerator.Choose(configuration.Accelerator);
        if (accelerator.Note is { } note)
            log(note);
        var size = SandboxSize.For(container, configuration, accelerator.Accelerator,
            HostMemoryMib(), Environment.ProcessorCount);

        Timeline.Mark("programs found, size chosen");
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
            var virtiofsd = Virtiofsd.Start(programs.Virtiofsd, directory.Shared, shares, directory.Handle, directory.VirtiofsdLog);
            undo.Push(virtiofsd.DisposeAsync);
            Timeline.Mark("virtiofsd started");
            var spec = new MachineSpec
            {
                Name = name,
                Accelerator = accelerator.Accelerator,
                Machine = configuration.Machine,
                Vcpus = size.Vcpus,
                MemoryMib = size.MemoryMib,
                MaxVcpus = size.MaxVcpus,
                MaxMemoryMib = size.MaxMemoryMib,
                Kernel = programs.Kernel,
                Initrd = configuration.ImageIsRoot ? null : programs.Initrd,
                Image = configuration.Image,
                HypervisorParameters = configuration.HypervisorParameters,
                Qboot = programs.Qboot,
                KernelParameters = configuration.KernelParameters,
                Debug = configuration.Debug,
                HotPlug = hotPlug,
                ControlPort = control.Port,
                QmpDescriptor = VirtualMachine.QmpNumber,
                Vsock = vsockSpec,
                SharedFilesDescriptor = VirtualMachine.SharedFilesNumber,
            };
            var hypervisor = VirtualMachine.Start(
                programs.Qemu, spec, new MachineDescriptors(vsockDescriptor, virtiofsd.FrontEnd), shares,
                directory.ConsoleLog, directory.QemuLog);
            Timeline.MarkGuestBegins("QEMU started");
            vsockDescriptor.Dispose();
            return new Machine(shares, vsock, virtiofsd, hypervisor, control, agent)
            {
                Size = new MachineSize(configuration, size, accelerator.Accelerator, hypervisor.Devices, agent),
            };
        }
        catch
        {
            while (undo.TryPop(out var step))
                await step();
            throw;
        }
    }

    /// <summary>Waits for the agent and tells it who it is.</summary>
    /// <exception cref="VmException">The machine ended, or the agent did not answer in time.</exception>
    public async Task<SetUpSandboxResponse> SetUpAsync(string hostname, TimeSpan patience)
    {
        using var limit = new CancellationTokenSource(patience);
        try
        {
            // Before that the guest has no use for it, and the time in it would be late by a boot.
            await WhileRunningAsync(_control.Connected.WaitAsync(limit.Token));
            Timeline.Mark("agent connected");
            var answer = Agent.SetUpSandboxAsync(SetUp(hostname), limit.Token);
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

    private static SetUpSandboxRequest SetUp(string hostname) => new()
    {
        Hostname = hostname,
        Shares = { new Share { Tag = SharedFiles.Tag, Type = "virtiofs" } },
        Entropy = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(64)),
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

    /// <summary>Not what .NET says: that is the limit of this process.</summary>
    private static long HostMemoryMib() =>
        long.Parse(KernelFiles.Read("/proc/meminfo").Split(' ', 3, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) >> 10;

    /// <summary>The port that the agent dials.</summary>
    private static (AgentClient, VsockChannel) Control(IVsock vsock)
    {
        var (ours, guests) = UnixSockets.Pair();
        var channel = vsock.Open(0, guests, guests);
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
