using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>
/// A thread that moves bytes from one descriptor to another, where no other thread can wait for them: neither is made
/// non-blocking, which whoever shares it would notice. Owns both.
/// </summary>
internal sealed class Pump
{
    /// <summary>A pipe or terminal that polls writable takes so many bytes (PIPE_BUF) without blocking.</summary>
    private const int SafeWrite = 4096;

    private readonly FileDescriptor from;
    private readonly FileDescriptor to;
    private readonly FileDescriptor wake = Polling.CreateEvent();
    private readonly bool fromSocket;
    private readonly bool toSocket;
    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool draining;
    private volatile bool aborted;

    public Pump(FileDescriptor from, FileDescriptor to)
    {
        (this.from, this.to) = (from, to);
        (fromSocket, toSocket) = (Files.Status(from).IsSocket, Files.Status(to).IsSocket);
    }

    /// <summary>Ends when both descriptors are closed and the last byte is delivered or lost.</summary>
    public Task Ended => ended.Task;

    public void Start() => new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "pump" }.Start();

    /// <summary>Moves what is there now, then ends.</summary>
    public void Drain()
    {
        draining = true;
        Wake();
    }

    /// <summary>Ends at once.</summary>
    public void Abort()
    {
        aborted = true;
        Wake();
    }

    private void Wake()
    {
        lock (wake)
        {
            if (!wake.IsClosed)
                Polling.Signal(wake);
        }
    }

    private void Run()
    {
        try
        {
            Move();
        }
        catch (LinuxException)
        {
            // As an error of either descriptor: nothing more can be moved.
        }
        finally
        {
            if (toSocket)
                UnixSockets.ShutDown(to, writing: true);
            if (fromSocket)
                UnixSockets.ShutDown(from, reading: true);
            from.Dispose();
            to.Dispose();
            lock (wake)
                wake.Dispose();
            ended.SetResult();
        }
    }

    private void Move()
    {
        var buffer = new byte[64 * 1024];
        while (!aborted)
        {
            var (ready, woken) = Polling.WaitAny(
                from, PollEvents.Readable, wake, PollEvents.Readable, draining ? 0 : -1);
            if (woken != PollEvents.None)
                Polling.Clear(wake);
            if (ready == PollEvents.None)
            {
                if (draining && woken == PollEvents.None)
                    return;
                continue;
            }

            var count = Files.TryRead(from, buffer);
            if (count == -(nint)Errno.EAGAIN)
                continue;
            if (count <= 0 || !TryWriteAll(buffer.AsSpan(0, (int)count)))
                return;
        }
    }

    private bool TryWriteAll(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var (ready, woken) = Polling.WaitAny(to, PollEvents.Writable, wake, PollEvents.Readable);
            if (woken != PollEvents.None)
                Polling.Clear(wake);
            if (aborted)
                return false;
            if (ready == PollEvents.None)
                continue;
            var chunk = bytes[..Math.Min(bytes.Length, SafeWrite)];
            var count = toSocket ? UnixSockets.TrySend(to, bytes) : Files.TryWrite(to, chunk);
            if (count == -(nint)Errno.EAGAIN)
                continue;
            if (count < 0)
                return false;
            bytes = bytes[(int)count..];
        }

        return true;
    }
}
