using KataLike.Linux;

namespace KataLike.Agent.Streams;

/// <summary>A connected socket as a stream whose waits are the event loop's. Owns the socket.</summary>
/// <remarks>.NET's own socket takes an engine with a thread, and does not know AF_VSOCK.</remarks>
internal sealed class ControlStream : Stream
{
    private readonly EventLoop _loop;
    private readonly FileDescriptor _socket;
    private readonly ulong _key;
    private readonly SemaphoreSlim _readable = new(0);
    private readonly SemaphoreSlim _writable = new(0);

    // Above _closed: a descriptor's number must not be used after it was closed.
    private readonly Lock _lock = new();
    private bool _closed;

    public ControlStream(EventLoop loop, FileDescriptor socket)
    {
        (_loop, _socket) = (loop, socket);
        Splicing.SetNonBlocking(socket);
        _key = loop.Watch(socket, PollEvents.Readable | PollEvents.Writable, OnReady);
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            var count = TryRead(buffer.Span);
            if (count >= 0)
            {
                return (int)count;
            }
            await WaitAsync(_readable, count, "read", cancellationToken);
        }
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (buffer.Length > 0)
        {
            var count = TryWrite(buffer.Span);
            if (count >= 0)
            {
                buffer = buffer[(int)count..];
                continue;
            }
            await WaitAsync(_writable, count, "write", cancellationToken);
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    protected override void Dispose(bool disposing)
    {
        lock (_lock)
        {
            if (disposing && !_closed)
            {
                _closed = true;
                _loop.Forget(_socket, _key);
                _socket.Dispose();
            }
        }
        base.Dispose(disposing);
    }

    private nint TryRead(Span<byte> buffer)
    {
        lock (_lock)
        {
            return _closed ? 0 : Files.TryRead(_socket, buffer);
        }
    }

    private nint TryWrite(ReadOnlySpan<byte> buffer)
    {
        lock (_lock)
        {
            return _closed ? -(int)Errno.EPIPE : Files.TryWrite(_socket, buffer);
        }
    }

    private static Task WaitAsync(SemaphoreSlim ready, nint result, string call, CancellationToken cancel) =>
        result == -(int)Errno.EAGAIN
            ? ready.WaitAsync(cancel)
            : throw new LinuxException((Errno)(int)-result, call, "control connection");

    private void OnReady(PollEvents events)
    {
        var ended = (events & (PollEvents.Error | PollEvents.HangUp)) != 0;
        if (ended || (events & PollEvents.Readable) != 0)
        {
            Wake(_readable);
        }
        if (ended || (events & PollEvents.Writable) != 0)
        {
            Wake(_writable);
        }
    }

    /// <summary>One count is enough: whoever takes it tries until the kernel says EAGAIN.</summary>
    private static void Wake(SemaphoreSlim ready)
    {
        if (ready.CurrentCount == 0)
        {
            ready.Release();
        }
    }
}
