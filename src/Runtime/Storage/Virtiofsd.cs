using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Storage;

/// <summary>The two programs of that name: QEMU's own until 7.2, written in C, and its successor in Rust.</summary>
internal enum VirtiofsdGeneration { C, Rust }

/// <summary>The daemon that serves the shared directory to the guest. It ends by itself when QEMU does.</summary>
internal sealed class Virtiofsd : IAsyncDisposable
{
    private const int SocketNumber = 3, SigKill = 9;
    private const string SocketName = "virtiofsd.sock";

    private readonly ChildProcess _process;
    private readonly BoundedLog _log;

    private Virtiofsd(ChildProcess process, BoundedLog log, FileDescriptor frontEnd)
    {
        (_process, _log, FrontEnd) = (process, log, frontEnd);
    }

    /// <summary>A connection for QEMU.</summary>
    public FileDescriptor FrontEnd { get; }

    public string LogTail => _log.Tail;

    public Task Exited => _process.Exited;

    /// <summary>Its pids: the server is a child of the one that was started, in a pid namespace.</summary>
    public IReadOnlyList<int> Processes() => [_process.Pid, .. Linux.Processes.ChildrenOf(_process.Pid)];

    /// <param name="directory">Where its socket has a name for the moment between listening and connecting.</param>
    /// <param name="accessLists">Whether the guest's kernel is one that can do them: not every one can (decision 21).</param>
    public static Virtiofsd Start(
        string program, string shared, ShareNamespace parent, FileDescriptor directory, string logPath, bool accessLists)
    {
        var generation = Detect(program, parent);
        using var listener = UnixSockets.Listen(directory, SocketName, backlog: 1);
        var frontEnd = UnixSockets.Connect(directory, SocketName);
        File.Delete($"{directory.ProcPath}/{SocketName}");
        var log = new BoundedLog(logPath);
        try
        {
            var process = parent.Start(new ProcessStart
            {
                Path = program,
                Arguments = [program, .. CommandLine(generation, shared, accessLists)],
                Descriptors = [(log.ChildEnd, 1), (log.ChildEnd, 2), (listener, SocketNumber)],
                WorkingDirectory = "/",
            });
            return new Virtiofsd(process, log, frontEnd);
        }
        catch (LinuxException error)
        {
            frontEnd.Dispose();
            log.Dispose();
            throw new VmException($"cannot start {program}: {error.Message}", cause: error);
        }
        finally
        {
            log.ChildEnd.Dispose();
        }
    }

    // "auto" lets the guest keep for a second what it has seen of names and attributes, and nothing of what it has read of a file once that
    // is opened anew. Our guest's kernel has its own rule, the same with both programs: virtiofs.max_age (decision 15).
    public static IReadOnlyList<string> CommandLine(VirtiofsdGeneration generation, string shared, bool accessLists) => generation switch
    {
        VirtiofsdGeneration.C =>
        [
            $"--fd={SocketNumber}", "--rlimit-nofile=0", "-o", $"source={shared.Replace(",", "\\,", StringComparison.Ordinal)}",
            "-o", $"sandbox=namespace,cache=auto,xattr,{(accessLists ? "posix_acl," : "")}announce_submounts,log_level=warn",
        ],
        _ =>
        [
            $"--fd={SocketNumber}", "--rlimit-nofile=0", "--shared-dir", shared,
            "--sandbox", "namespace", "--cache", "auto", accessLists ? "--posix-acl" : "--xattr", "--announce-submounts", "--log-level", "warn",
        ],
    };

    /// <summary>From what <c>--version</c> prints: only the C program speaks of FUSE's interface.</summary>
    public static VirtiofsdGeneration GenerationOf(string version) =>
        version.Contains("FUSE kernel interface", StringComparison.Ordinal) ? VirtiofsdGeneration.C : VirtiofsdGeneration.Rust;

    private static VirtiofsdGeneration Detect(string program, ShareNamespace parent)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            try
            {
                using (write)
                    parent.Start(new ProcessStart { Path = program, Arguments = [program, "--version"], Descriptors = [(write, 1)] }).Dispose();
            }
            catch (LinuxException error)
            {
                throw new VmException($"cannot start {program}: {error.Message}", cause: error);
            }
            Span<byte> text = stackalloc byte[4096];
            var length = 0;
            while (length < text.Length && Files.Read(read, text[length..]) is > 0 and var count)
                length += count;
            return GenerationOf(Encoding.UTF8.GetString(text[..length]));
        }
    }

    public async ValueTask DisposeAsync()
    {
        FrontEnd.Dispose();
        _process.Signal(SigKill);
        await _process.Exited;
        _log.Dispose();
        _process.Dispose();
    }
}
