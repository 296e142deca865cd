using System.Text;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>How a process is to be tied to this side.</summary>
/// <param name="Detach">The command ends before the process does.</param>
internal sealed record AttachmentOptions(bool Terminal, bool Detach, string? ConsoleSocket, ConsoleSize? Size)
{
    /// <exception cref="RuntimeException">The options contradict each other; in runc's words.</exception>
    public void Check()
    {
        if (Detach && Terminal && ConsoleSocket is null)
            throw new RuntimeException("cannot allocate tty if katalike will detach without setting console socket");
        if ((!Detach || !Terminal) && ConsoleSocket is not null)
            throw new RuntimeException("cannot use console socket if katalike will not detach or allocate tty");
    }
}

/// <summary>A process's streams or terminal on this side, and the stub that stands for it.</summary>
internal sealed class Attachment : IDisposable
{
    private readonly StubSession? session;
    private readonly DetachedStub? detached;
    private readonly FileDescriptor? terminal;

    private Attachment(StubSession session, FileDescriptor? terminal) => (this.session, this.terminal) = (session, terminal);

    private Attachment(DetachedStub detached) => this.detached = detached;

    public IStub Stub => (IStub?)session ?? detached!;

    public static Attachment Open(StateRoot root, string sandbox, string container, string execId, AttachmentOptions options)
    {
        var attach = new StubMessage.Attach(
            container, execId, options.Terminal, Limited(options.Size?.Width), Limited(options.Size?.Height));
        if (options.Detach)
            return new Attachment(StartStub(root, sandbox, attach, options.ConsoleSocket));
        if (!options.Terminal)
        {
            return new Attachment(
                StubSession.Attach(root, sandbox, attach, StandardStreams.Get(0), StandardStreams.Get(1), StandardStreams.Get(2)), null);
        }
        var terminal = FindTerminal();
        var (columns, rows) = HostTerminals.Size(terminal);
        attach = attach with { Columns = columns, Rows = rows };
        return new Attachment(StubSession.Attach(root, sandbox, attach, StandardStreams.Get(0), StandardStreams.Get(1)), terminal);
    }

    /// <summary>Waits for the end of a process that is not detached; the terminal is raw meanwhile.</summary>
    /// <param name="sandbox">Its name, for the log's line when the machine was lost.</param>
    /// <returns>Its exit status.</returns>
    public int Wait(FileDescriptor signals, string sandbox, Log log)
    {
        var exit = Wait(signals);
        if (exit.Loss is { } reason)
            log.Warning($"sandbox {sandbox} has ended: {reason}");
        return (int)exit.Status;
    }

    private StubMessage.Exit Wait(FileDescriptor signals)
    {
        if (terminal is null)
            return session!.Wait(signals, null);
        var before = HostTerminals.MakeRaw(terminal);
        try
        {
            return session!.Wait(signals, terminal);
        }
        finally
        {
            HostTerminals.Apply(terminal, before);
        }
    }

    public void Dispose()
    {
        session?.Dispose();
        detached?.Dispose();
        terminal?.Dispose();
    }

    private static uint Limited(uint? size) => Math.Min(size ?? 0, ushort.MaxValue);

    private static DetachedStub StartStub(StateRoot root, string sandbox, StubMessage.Attach attach, string? consoleSocket)
    {
        if (consoleSocket is null)
            return DetachedStub.Start(root, sandbox, attach, terminal: null);
        var (master, slave) = HostTerminals.Create();
        using (master)
        using (slave)
        {
            // The terminal in the guest does the editing; this one only carries its bytes.
            HostTerminals.MakeRaw(slave);
            DescriptorSocket.Send(consoleSocket, "/dev/ptmx", master);
            return DetachedStub.Start(root, sandbox, attach, slave);
        }
    }

    private static FileDescriptor FindTerminal()
    {
        var own = Enumerable.Range(0, 3).Select(StandardStreams.Get).FirstOrDefault(HostTerminals.IsTerminal);
        return own?.Duplicate() ?? Files.Open("/dev/tty", Files.ReadWrite);
    }
}

/// <summary>Sockets of callers that receive one descriptor: --console-socket and --pidfd-socket.</summary>
internal static class DescriptorSocket
{
    /// <param name="name">Sent beside it, as the protocol of runc's console socket has it.</param>
    /// <exception cref="RuntimeException">Nobody listens on the path.</exception>
    public static unsafe void Send(string path, string name, FileDescriptor descriptor)
    {
        try
        {
            path = Path.GetFullPath(path);
            using var directory = Files.Open(Path.GetDirectoryName(path) ?? "/", Files.PathOnly | Files.Directory);
            using var socket = UnixSockets.Connect(directory, Path.GetFileName(path));
            var bytes = Encoding.UTF8.GetBytes(name);
            fixed (byte* pointer = bytes)
            {
                // SAFETY: the vector lives as long as the array is pinned.
                var vector = new IoVector((nint)pointer, bytes.Length);
                if (UnixSockets.TrySend(socket, [vector], [descriptor], wait: true) is < 0 and var error)
                    throw new LinuxException((Errno)(-error), "sendmsg", path);
            }
        }
        catch (LinuxException e)
        {
            throw new RuntimeException($"dial unix {path}: connect: {e.Errno.Text()}", cause: e);
        }
    }
}
