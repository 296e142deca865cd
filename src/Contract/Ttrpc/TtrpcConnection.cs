using System.Buffers;
using System.Threading.Channels;
using Google.Protobuf;

namespace KataLike.Contract.Ttrpc;

/// <summary>What client and server share: one loop that receives, one that sends, and the first reason for the end.</summary>
#pragma warning disable CA1001 // The token source holds nothing to free, and handlers may use it after the end.
internal sealed class TtrpcConnection
#pragma warning restore CA1001
{
    private const int FirstBufferLength = 4096;
    private const int SendQueueLength = 64;

    private readonly Stream _stream;
    private readonly FrameHandler _onFrame;
    private readonly CancellationTokenSource _ended = new();
    private readonly Channel<Outgoing> _outgoing = Channel.CreateBounded<Outgoing>(
        new BoundedChannelOptions(SendQueueLength) { SingleReader = true });

    private string? _reason;
    private byte[] _buffer = new byte[FirstBufferLength];
    private int _start;
    private int _end;

    public TtrpcConnection(Stream stream, FrameHandler onFrame)
    {
        _stream = stream;
        _onFrame = onFrame;
    }

    /// <summary>Takes a frame. The receive loop goes on when the returned task has completed.</summary>
    /// <exception cref="TtrpcProtocolException">The frame ends the connection.</exception>
    public delegate ValueTask FrameHandler(TtrpcFrame frame);

    private readonly record struct Outgoing(byte[] Buffer, int Length, TaskCompletionSource? Sent);

    /// <summary>Cancelled when the connection has ended.</summary>
    public CancellationToken Ended => _ended.Token;

    public string? Reason => _reason;

    /// <summary>Runs both loops until the connection has ended; gives the reason. Does not throw.</summary>
    public async Task<string> RunAsync()
    {
        var sending = SendLoopAsync();
        await ReceiveLoopAsync();
        await sending;
        return _reason!;
    }

    /// <summary>Ends the connection. The first reason counts.</summary>
    public void Abort(string reason)
    {
        if (Interlocked.CompareExchange(ref _reason, reason, null) is not null)
            return;
        _ = _outgoing.Writer.TryComplete();
        // Handlers' callbacks run on the pool: one that throws must not stop the end of the connection.
        _ = _ended.CancelAsync();
        _stream.Dispose();
    }

    /// <summary>Queues a message, waiting while the queue is full; false when the connection has ended.</summary>
    /// <param name="sent">Completed once the bytes are with the kernel, or the connection has ended.</param>
    /// <exception cref="TtrpcException">The message exceeds what a frame holds (ResourceExhausted).</exception>
    public async ValueTask<bool> SendAsync(
        IMessage message, uint streamId, TtrpcFrameType type, TaskCompletionSource? sent = null, CancellationToken cancel = default)
    {
        int length = message.CalculateSize();
        if (length > TtrpcFrame.MaxDataLength)
            throw new TtrpcException(
                StatusCode.ResourceExhausted, $"message of {length} bytes exceeds the limit of {TtrpcFrame.MaxDataLength}");

        byte[] buffer = ArrayPool<byte>.Shared.Rent(TtrpcFrame.HeaderLength + length);
        TtrpcFrame.WriteHeader(buffer, length, streamId, type);
        message.WriteTo(buffer.AsSpan(TtrpcFrame.HeaderLength, length));
        var item = new Outgoing(buffer, TtrpcFrame.HeaderLength + length, sent);
        while (!_outgoing.Writer.TryWrite(item))
        {
            if (await _outgoing.Writer.WaitToWriteAsync(cancel))
                continue;
            _ = sent?.TrySetResult();
            return false;
        }
        return true;
    }

    private async Task SendLoopAsync()
    {
        try
        {
            while (await _outgoing.Reader.WaitToReadAsync(Ended))
            {
                while (_outgoing.Reader.TryRead(out var item))
                {
                    await _stream.WriteAsync(item.Buffer.AsMemory(0, item.Length), Ended);
                    ArrayPool<byte>.Shared.Return(item.Buffer);
                    _ = item.Sent?.TrySetResult();
                }
            }
        }
        catch (Exception e)
        {
            Abort($"write failed: {e.Message}");
        }
        while (_outgoing.Reader.TryRead(out var lost))
            _ = lost.Sent?.TrySetResult();
    }

    private async Task ReceiveLoopAsync()
    {
        try
        {
            int wanted = TtrpcFrame.HeaderLength;
            while (true)
            {
                MakeRoom(wanted);
                int count = await _stream.ReadAsync(_buffer.AsMemory(_end), Ended);
                if (count == 0)
                {
                    Abort(_end == _start ? "closed by the peer" : "closed by the peer within a frame");
                    return;
                }
                _end += count;
                while (TryDispatch(out var handled, out wanted))
                    await handled;
            }
        }
        catch (TtrpcProtocolException e)
        {
            Abort($"malformed: {e.Message}");
        }
        catch (Exception e)
        {
            Abort($"read failed: {e.Message}");
        }
    }

    private bool TryDispatch(out ValueTask handled, out int wanted)
    {
        ReadOnlySpan<byte> bytes = _buffer.AsSpan(_start, _end - _start);
        if (!TtrpcFrame.TryRead(ref bytes, out var frame, out wanted))
        {
            handled = default;
            return false;
        }
        _start = _end - bytes.Length;
        handled = _onFrame(frame);
        return true;
    }

    /// <summary>Moves what is left to the front and grows with what has come, not with what a header promises.</summary>
    private void MakeRoom(int wanted)
    {
        int held = _end - _start;
        byte[] target = _buffer;
        if (held == 0 && _buffer.Length > FirstBufferLength)
            target = new byte[FirstBufferLength];
        else if (held == _buffer.Length)
            target = new byte[Math.Min(wanted, _buffer.Length * 2)];
        if (_start > 0 || target != _buffer)
            _buffer.AsSpan(_start, held).CopyTo(target);
        _buffer = target;
        _start = 0;
        _end = held;
    }
}
