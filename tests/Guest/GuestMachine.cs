using System.Security.Cryptography;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Storage;
using KataLike.Runtime.Vsock;

namespace KataLike.Guest.Tests;

/// <summary>One machine for all tests of a class, with the real kernel and agent. <see cref="Missing"/> says why there is none.</summary>
public sealed class GuestMachine : IAsyncLifetime
{
    private static readonly TimeSpan BootLimit = TimeSpan.FromMinutes(3);

    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-guest-").FullName;
    private ShareNamespace? _parent;
    private VirtualMachine? _hypervisor;
    private VsockChannel? _control;

    internal string? Missing { get; private set; }

    internal IVsock Vsock { get; private set; } = null!;

    internal AgentClient Agent { get; private set; } = null!;

    internal SetUpSandboxResponse SetUp { get; private set; } = null!;

    internal Task<string> Ended => _hypervisor!.Ended;

    public async Task InitializeAsync()
    {
        var share = Path.Combine(RepositoryRoot(), "out/share/katalike");
        var (kernel, initrd) = (Path.Combine(share, "vmlinux"), Path.Combine(share, "initrd"));
        Missing = !File.Exists(kernel) ? $"no {kernel}: run ./dev build"
            : !File.Exists(initrd) ? $"no {initrd}: run ./dev build"
            : !TestInitrd.HasBusybox ? "no busybox: install busybox-static"
            : QemuPath() is null ? "no qemu-system-x86_64"
            : Environment.UserName != "root" ? "needs root" : null;
        if (Missing is null)
        {
            var extended = Path.Combine(_directory, "initrd");
            TestInitrd.Write(initrd, extended, "a", "b");
            await BootAsync(kernel, extended);
        }
    }

    public async Task DisposeAsync()
    {
        if (_hypervisor is not null)
        {
            await Agent.Connection.DisposeAsync();
            await _hypervisor.DisposeAsync();
            await Vsock.DisposeAsync();
            _parent!.Dispose();
        }
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Ends the connection to the agent and waits for it to dial again.</summary>
    internal async Task ReconnectAsync()
    {
        await Agent.Connection.DisposeAsync();
        await _control!.Finished;
        OpenControl(_control.Port);
        await SetUpAsync();
    }

    private void OpenControl(uint port)
    {
        var (ours, guests) = UnixSockets.Pair();
        _control = Vsock.Open(port, guests, guests);
        Agent = new AgentClient(new TtrpcClient(SocketStreams.Take(ours)));
    }

    private async Task SetUpAsync()
    {
        using var limit = new CancellationTokenSource(BootLimit);
        var answer = Agent.SetUpSandboxAsync(Request(), limit.Token);
        if (await Task.WhenAny(answer, Ended) != answer)
        {
            throw _hypervisor!.Failure($"the machine did not start: {await Ended}");
        }
        SetUp = await answer;
    }

    /// <summary>Runs a test's body; a failure shows what the guest said on its console.</summary>
    internal async Task RunAsync(Func<Task> body)
    {
        Skip.IfNot(Missing is null, Missing);
        try
        {
            await body();
        }
        catch (Exception e) when (e is not SkipException)
        {
            throw _hypervisor!.Failure(e.ToString(), e);
        }
    }

    private async Task BootAsync(string kernel, string initrd)
    {
        var shared = Path.Combine(_directory, "shared");
        Directory.CreateDirectory(shared);
        _parent = ShareNamespace.Enter(shared);
        var vsock = new VhostUserVsock();
        Vsock = vsock;
        OpenControl(vsock.GuestCid);
        var spec = new MachineSpec
        {
            Name = "guest-tests",
            Accelerator = ChosenAccelerator.Choose(AcceleratorChoice.Auto).Accelerator,
            Machine = MachineType.Q35,
            Vcpus = 1,
            MemoryMib = 256,
            MaxVcpus = 1,
            MaxMemoryMib = 256,
            Kernel = kernel,
            Initrd = initrd,
            KernelParameters = ["katalike.log=debug"],
            QmpDescriptor = VirtualMachine.QmpNumber,
            Vsock = new VsockSpec.VhostUser(VirtualMachine.VsockNumber),
        };
        _hypervisor = VirtualMachine.Start(
            QemuPath()!, spec, new MachineDescriptors(vsock.FrontEnd, null), _parent,
            Path.Combine(_directory, "console.log"), Path.Combine(_directory, "qemu.log"));
        vsock.FrontEnd.Dispose();
        await SetUpAsync();
    }

    private static SetUpSandboxRequest Request() => new()
    {
        Hostname = "guest",
        Time = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow),
        Entropy = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(64)),
    };

    private static string? QemuPath() =>
        ((string[])["/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64"]).FirstOrDefault(File.Exists);

    private static string RepositoryRoot()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "KataLike.sln")))
            {
                return directory.FullName;
            }
        }
        throw new DirectoryNotFoundException("KataLike.sln is in no directory above the tests");
    }
}
