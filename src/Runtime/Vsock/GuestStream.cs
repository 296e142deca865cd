using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>
/// A channel's two endpoints, its connection once there is one, and the bytes on their way between them. Belongs to
/// the device's thread.
/// </summary>
internal sealed class GuestStream(VsockChannel channel, Endpoint? source, Endpoint? sink, Epoll epoll)
{
    private readonly HeldBytes held = new();
    private Endpoint? source = source;
    private Endpoint? sink = sink;
    private bool sourceReady;
    private bool sourceOver = source is null;
    private bool draining;
    private bool guestOver;
    private bool toldOver = source is null;
    private Task delivered = Task.CompletedTask;

    public VsockChannel Channel { get; } = channel;

    public Connection? Connection { get; private set; }

    /// <summary>Whether it is in the device's list of those that may have something to send.</summary>
    public bool Listed { get; set; }

    /// <summary>Nothing is left to do: no connection, no bytes, no descriptors.</summary>
    public bool Over { get; private set; }

    public bool WantsToSend =>
        (sourceReady || sourceOver) && !toldOver && Connection is { MaySend: true };

    /// <summary>Joins the guest's connection to the endpoints.</summary>
    public void Connect(Connection connection, ulong sourceKey, ulong sinkKey)
    {
        Connection = connection;
        Channel.MarkConnected();
        if (ReferenceEquals(source, sink))
        {
            if (source?.Watch(epoll, PollEvents.Readable | PollEvents.Writable, sourceKey | sinkKey) == false)
                sourceReady = true;
            return;
        }

        if (source?.Watch(epoll, PollEvents.Readable | PollEvents.PeerHangUp, sourceKey) == false)
            sourceReady = true;
        sink?.Watch(epoll, PollEvents.Writable, sinkKey);
    }

    public void SourceIsReady() => sourceReady = true;

    /// <summary>Reads what the source holds now, then ends it.</summary>
    public void CloseSource()
    {
        if (sourceOver && !toldOver)
            return;
        if (source is null)
        {
            // Nothing was ever to be sent; now the guest is told.
            toldOver = false;
            return;
        }

        draining = true;
        source.Drain();
        sourceReady |= !source.DrainsItself;
    }

    /// <summary>Reads into buffers of the guest. A count, or 0 when there is nothing now; see <see cref="TakeSourceEnd"/>.</summary>
    public int Read(ReadOnlySpan<IoVector> room)
    {
        if (sourceOver || source is null)
            return 0;
        var count = source.Read(room);
        if (count > 0)
            return (int)count;
        if (count == -(nint)Errno.EAGAIN && (!draining || source.DrainsItself))
            sourceReady = false;
        else
            sourceOver = true;
        return 0;
    }

    /// <summary>Whether the guest is to be told, now and once, that no more will come.</summary>
    public bool TakeSourceEnd()
    {
        if (!sourceOver || toldOver)
            return false;
        toldOver = true;
        return true;
    }

    /// <summary>Hands a payload of the guest to the sink, and keeps what it refuses.</summary>
    public void Write(VectorList payload)
    {
        while (held.Count == 0 && payload.Bytes > 0)
        {
            var count = sink is null ? (nint)payload.Bytes : sink.Write(payload.Vectors);
            if (count == -(nint)Errno.EAGAIN)
                break;
            if (count <= 0)
            {
                SinkBroke();
                count = (nint)payload.Bytes;
            }

            payload.Skip((ulong)count);
            Connection?.Forward((uint)count);
        }

        if (payload.Bytes > 0)
            held.Add(payload);
    }

    /// <summary>Offers the sink what it refused before.</summary>
    public void Flush()
    {
        Span<IoVector> vectors = stackalloc IoVector[2];
        while (held.Count > 0 && sink is not null)
        {
            var count = sink.Write(vectors[..held.Describe(vectors)]);
            if (count == -(nint)Errno.EAGAIN)
                return;
            if (count <= 0)
            {
                SinkBroke();
                break;
            }

            held.Remove((int)count);
            Connection?.Forward((uint)count);
        }

        FinishIfDone();
    }

    /// <summary>The guest sends no more; the sink is ended once it has everything.</summary>
    public void GuestIsOver()
    {
        guestOver = true;
        FinishIfDone();
    }

    /// <summary>The connection is gone; what was received is still delivered.</summary>
    public void Disconnect()
    {
        Connection = null;
        guestOver = sourceOver = true;
        if (source is not null && !ReferenceEquals(source, sink))
        {
            source.Abort(epoll);
            source = null;
        }

        FinishIfDone();
    }

    /// <summary>Closes everything now; what was not delivered is lost.</summary>
    public void Abort()
    {
        Connection = null;
        Over = true;
        held.Clear();
        source?.Abort(epoll);
        if (!ReferenceEquals(source, sink))
            sink?.Abort(epoll);
        source = sink = null;
        Channel.MarkFinished();
    }

    private void FinishIfDone()
    {
        if (Over || !guestOver || held.Count > 0)
            return;
        if (sink is not null)
        {
            if (sink.IsSocket)
                sink.EndWriting();
            // One that is also read from stays until the connection is gone.
            if (Connection is null || !ReferenceEquals(source, sink))
            {
                delivered = sink.Close(epoll);
                source = ReferenceEquals(source, sink) ? null : source;
                sink = null;
            }
        }

        held.Clear();
        Over = Connection is null;
        if (delivered.IsCompleted)
            Channel.MarkFinished();
        else
            _ = delivered.ContinueWith(_ => Channel.MarkFinished(), TaskScheduler.Default);
    }

    /// <summary>The reader is gone: its writer in the guest is to see EPIPE, and what is under way is dropped.</summary>
    private void SinkBroke()
    {
        Connection?.Forward((uint)held.Count);
        Connection?.ShutDown(ShutdownFlags.Receive);
        held.Clear();
        if (sink is not null && !ReferenceEquals(source, sink))
            _ = sink.Close(epoll);
        sink = null;
    }
}
