using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>
/// A caller's descriptor that can be read and written without waiting. Its open file may be shared with other
/// processes (a shell's terminal), so O_NONBLOCK is never set on it: sockets are asked call by call, pipes and
/// terminals are opened again, what cannot be opened again gets a thread. Regular files are taken as always ready.
/// </summary>
internal sealed class Endpoint
{
    private static readonly (uint Major, uint Minor) PtyMaster = (5, 2);

    private readonly FileDescriptor descriptor;
    private readonly Pump? pump;

    private Endpoint(FileDescriptor descriptor, bool isSocket, Pump? pump = null)
    {
        (this.descriptor, IsSocket, this.pump) = (descriptor, isSocket, pump);
        pump?.Start();
    }

    public bool IsSocket { get; }

    /// <summary>Whether the end of the source comes by itself after <see cref="Drain"/>.</summary>
    public bool DrainsItself => pump is not null;

    /// <summary>Takes over a descriptor to read from.</summary>
    public static Endpoint ForSource(FileDescriptor descriptor) => Create(descriptor, Files.ReadOnly);

    /// <summary>Takes over a descriptor to write to.</summary>
    public static Endpoint ForSink(FileDescriptor descriptor) => Create(descriptor, Files.WriteOnly);

    /// <summary>Waits for readiness from now on, edge-triggered. False: it is always ready.</summary>
    public bool Watch(Epoll epoll, PollEvents events, ulong key) =>
        epoll.Add(descriptor, events | PollEvents.EdgeTriggered, key);

    /// <summary>A count, 0 at the end, or a negated errno.</summary>
    public nint Read(ReadOnlySpan<IoVector> vectors) =>
        IsSocket ? UnixSockets.TryReceive(descriptor, vectors) : Files.TryRead(descriptor, vectors);

    /// <summary>A count or a negated errno.</summary>
    public nint Write(ReadOnlySpan<IoVector> vectors) =>
        IsSocket ? UnixSockets.TrySend(descriptor, vectors) : Files.TryWrite(descriptor, vectors);

    /// <summary>Ends the reading of a source, after what it holds now.</summary>
    public void Drain() => pump?.Drain();

    /// <summary>Tells the reader of a sink that no more will come, for sockets that are still read from.</summary>
    public void EndWriting() => UnixSockets.ShutDown(descriptor, writing: true);

    /// <summary>Closes; the task ends when the last byte written is with the caller's descriptor.</summary>
    public Task Close(Epoll epoll)
    {
        epoll.Remove(descriptor);
        descriptor.Dispose();
        return pump?.Ended ?? Task.CompletedTask;
    }

    /// <summary>Closes without waiting for anybody.</summary>
    public void Abort(Epoll epoll)
    {
        pump?.Abort();
        Close(epoll);
    }

    private static Endpoint Create(FileDescriptor descriptor, int access)
    {
        var status = Files.Status(descriptor);
        if (status.IsSocket)
            return new Endpoint(descriptor, isSocket: true);
        if (status.IsRegular)
            return new Endpoint(descriptor, isSocket: false);
        // Opening a pseudo terminal's master again makes a new terminal.
        var reopens = status.IsPipe ||
            (status.IsCharacterDevice && (status.DeviceMajor, status.DeviceMinor) != PtyMaster);
        if (reopens)
        {
            try
            {
                var own = Files.Reopen(descriptor, access | Files.NonBlocking | Files.NoControllingTerminal);
                descriptor.Dispose();
                return new Endpoint(own, isSocket: false);
            }
            catch (LinuxException)
            {
                // A terminal of another user, or a pipe whose reader is gone: the thread will find out.
            }
        }

        return WithPump(descriptor, access);
    }

    private static Endpoint WithPump(FileDescriptor descriptor, int access)
    {
        var (read, write) = Files.Pipe(Files.NonBlocking);
        return access == Files.ReadOnly
            ? new Endpoint(read, isSocket: false, new Pump(descriptor, write))
            : new Endpoint(write, isSocket: false, new Pump(read, descriptor));
    }
}
