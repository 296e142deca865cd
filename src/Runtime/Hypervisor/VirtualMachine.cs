using System.Text.Json.Nodes;
using KataLike.Contract;
using KataLike.Linux;
using KataLike.Runtime.Storage;
using KataLike.Runtime.Templates;

namespace KataLike.Runtime.Hypervisor;

/// <summary>What QEMU needs from us, by descriptor. Closed here once QEMU has them.</summary>
internal sealed record MachineDescriptors(FileDescriptor? Vsock, FileDescriptor? SharedFiles)
{
    /// <summary>The memory of a template or a copy. It stays the caller's.</summary>
    public FileDescriptor? Memory { get; init; }
}

/// <summary>A running machine. Its end shows in <see cref="Ended"/>, however it came about.</summary>
internal sealed class VirtualMachine : IAsyncDisposable
{
    public const int QmpNumber = 3, VsockNumber = 4, SharedFilesNumber = 5, MemoryNumber = 6;

    private const string VsockDevice = "vsock-device", SharedDevice = "shared-device";

    private const int SigKill = 9;

    private static readonly TimeSpan CaptureDelay = TimeSpan.FromMilliseconds(300);

    private readonly ChildProcess _process;
    private readonly QmpClient _qmp;
    private readonly BoundedLog _console, _log;

    private VirtualMachine(ChildProcess process, QmpClient qmp, BoundedLog console, BoundedLog log)
    {
        (_process, _qmp, _console, _log) = (process, qmp, console, log);
        Devices = new HotPlug(qmp);
        Ended = EndAsync();
    }

    public int Pid => _process.Pid;

    /// <summary>What comes and goes while the machine runs.</summary>
    public HotPlug Devices { get; }

    /// <summary>Completes with a line that says how QEMU ended, once it was reaped. Never faults.</summary>
    public Task<string> Ended { get; }

    /// <param name="image">Of a QEMU of which this one is to be a copy; null: QEMU is executed.</param>
    /// <exception cref="VmException">QEMU cannot be executed.</exception>
    public static VirtualMachine Start(
        string qemu, MachineSpec spec, MachineDescriptors descriptors, ShareNamespace parent, string consoleLog, string qemuLog, Template? image = null)
    {
        var console = new BoundedLog(consoleLog);
        var log = new BoundedLog(qemuLog);
        var (ours, qmp) = UnixSockets.Pair();
        var files = new List<(FileDescriptor, int)> { (console.ChildEnd, 1), (log.ChildEnd, 2), (qmp, QmpNumber) };
        foreach (var (file, number) in new[]
        {
            (descriptors.Vsock, VsockNumber), (descriptors.SharedFiles, SharedFilesNumber), (descriptors.Memory, MemoryNumber),
        })
        {
            if (file is not null)
                files.Add((file, number));
        }
        try
        {
            var start = new ProcessStart
            {
                Path = qemu,
                Arguments = [qemu, .. QemuCommandLine.From(spec)],
                Descriptors = files,
                WorkingDirectory = "/",
            };
            var process = image is null ? parent.Start(start) : image.StartProcess(start, parent.Start);
            return new VirtualMachine(process, new QmpClient(ours, greeted: image is not null), console, log);
        }
        catch (Exception error) when (error is LinuxException or InvalidDataException)
        {
            ours.Dispose();
            console.Dispose();
            log.Dispose();
            throw new VmException($"cannot start {qemu}: {error.Message}", cause: error);
        }
        finally
        {
            console.ChildEnd.Dispose();
            log.ChildEnd.Dispose();
            qmp.Dispose();
            descriptors.SharedFiles?.Dispose();
        }
    }

    /// <summary>The file that is a template's or a copy's memory.</summary>
    public FileDescriptor OpenMemory() => Files.Open($"/proc/{Pid}/fd/{MemoryNumber}", Files.ReadWrite);

    /// <summary>An exception for something that went wrong with this machine: carries what it said last.</summary>
    public VmException Failure(string reason, Exception? cause = null) => new(reason, _log.Tail, _console.Tail, cause);

    /// <summary>Stops the machine and writes its state to the file; its memory is where it was.</summary>
    /// <exception cref="QmpException">It cannot be saved.</exception>
    public async Task SaveAsync(FileDescriptor state)
    {
        await _qmp.ExecuteAsync("stop");
        await Migration.RunAsync(_qmp, "migrate", state);
    }

    /// <summary>Stops the machine and writes QEMU itself, a process that stands still then.</summary>
    /// <param name="kept">What of its memory goes into the image and is not to be copied: first byte and length.</param>
    /// <param name="image">Empty.</param>
    /// <exception cref="QmpException">QEMU is gone.</exception>
    /// <exception cref="InvalidDataException">It cannot be written.</exception>
    public async Task CaptureAsync(IEnumerable<(ulong Start, ulong Length)> kept, Stream image)
    {
        await _qmp.ExecuteAsync("stop");
        // What it has begun comes to its end.
        await Task.Delay(CaptureDelay);
        // On one thread.
        await Task.Run(() => ProcessCapture.Write(Pid, MemoryNumber + 1, [.. kept.Select(part => new FilePart(MemoryNumber, part.Start, part.Length))], image));
    }

    /// <summary>Makes the machine what was saved, gives it the devices that it has of its own, and lets it run.</summary>
    /// <param name="state">Null: it is that already.</param>
    /// <exception cref="QmpException">It does not fit.</exception>
    public async Task RestoreAsync(MachineSpec spec, FileDescriptor? state)
    {
        if (state is not null)
            await Migration.RunAsync(_qmp, "migrate-incoming", state);
        if (spec.Vsock is VsockSpec.Kernel kernel)
        {
            await Devices.AddAsync("vhost-vsock-pci", VsockDevice, new JsonObject
            {
                ["guest-cid"] = kernel.GuestCid,
                ["vhostfd"] = $"{kernel.Descriptor}",
            });
        }
        else if (spec.Vsock is VsockSpec.VhostUser)
        {
            await Devices.AddAsync("vhost-user-vsock-pci", VsockDevice, new JsonObject { ["chardev"] = "vsock" });
        }
        await Devices.AddAsync("vhost-user-fs-pci", SharedDevice, new JsonObject
        {
            ["chardev"] = "shared",
            ["tag"] = SharedFiles.Tag,
            ["queue-size"] = SharedFiles.QueueSize,
        });
        await _qmp.ExecuteAsync("cont");
    }

    /// <summary>Takes those devices away again.</summary>
    /// <exception cref="QmpException">QEMU is gone.</exception>
    public async Task WithdrawAsync(CancellationToken cancel)
    {
        await Devices.RemoveAsync(SharedDevice, cancel);
        await Devices.RemoveAsync(VsockDevice, cancel);
    }

    /// <summary>Completes when the guest has written this on its console.</summary>
    public Task SaidAsync(string text) => _console.SaidAsync(text);

    /// <summary>Ends QEMU at once: by QMP, and by SIGKILL when it does not within the time.</summary>
    public async Task QuitAsync(TimeSpan patience)
    {
        using var limit = new CancellationTokenSource(patience);
        try
        {
            await _qmp.ExecuteAsync("quit", cancel: limit.Token);
            await Ended.WaitAsync(limit.Token);
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or ObjectDisposedException)
        {
            Kill();
        }
        await Ended;
    }

    public void Kill() => _process.Signal(SigKill);

    private async Task<string> EndAsync()
    {
        var status = await _process.Exited;
        // Its last words; a writer that it left behind does not keep us.
        await Task.WhenAny(Task.WhenAll(_log.Ended, _console.Ended), Task.Delay(TimeSpan.FromMilliseconds(200)));
        return status switch
        {
            { Signalled: true } => $"qemu was killed by signal {status.Number}",
            { Number: 0 } => "the machine was switched off",
            _ => $"qemu exited with status {status.Number}",
        };
    }

    /// <summary>A machine that panics, or whose agent gives up, switches itself off: what it wrote tells why. Empty, or ": " before it.</summary>
    public string LastWords => LastWordsIn(_console.Tail);

    internal static string LastWordsIn(string console)
    {
        var said = console.Split('\n').LastOrDefault(line =>
            line.Contains("Kernel panic - ", StringComparison.Ordinal) || line.Contains("katalike-agent: ", StringComparison.Ordinal));
        return said is null ? "" : OneLine.Of($": {said.Trim()}");
    }

    public async ValueTask DisposeAsync()
    {
        Kill();
        await Ended;
        await _qmp.DisposeAsync();
        _console.Dispose();
        _log.Dispose();
        _process.Dispose();
    }
}
