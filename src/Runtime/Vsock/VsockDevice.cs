using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>
/// Moves packets between the queues and the streams. Belongs to one thread, which calls <see cref="Turn"/> after it
/// has told what happened; a turn does a bounded amount of work, so that no stream starves another.
/// </summary>
internal sealed class VsockDevice(uint guestCid, VhostUserBackend backend)
{
    public const ulong SourceKey = 1UL << 32, SinkKey = 1UL << 33;

    private const int PacketsPerTurn = 256;
    private const uint MaxPayload = 64 * 1024;

    private readonly Muxer muxer = new(guestCid);
    private readonly Dictionary<uint, GuestStream> streams = [];
    private readonly Queue<GuestStream> senders = [];

    /// <summary>Opens a port for a stream.</summary>
    public void Open(GuestStream stream)
    {
        streams.Add(stream.Channel.Port, stream);
        muxer.Open(stream.Channel.Port);
    }

    public void CloseSource(GuestStream stream)
    {
        stream.CloseSource();
        List(stream);
    }

    public void Abort(GuestStream stream)
    {
        if (stream.Connection is { } connection)
            muxer.Reset(connection);
        stream.Abort();
        Forget(stream);
    }

    /// <summary>A stream's descriptor has become ready.</summary>
    public void Happened(ulong key, PollEvents events)
    {
        if (!streams.TryGetValue((uint)key, out var stream))
            return;
        if ((key & SourceKey) != 0 && (events & ~PollEvents.Writable) != 0)
        {
            stream.SourceIsReady();
            List(stream);
        }

        if ((key & SinkKey) != 0)
        {
            stream.Flush();
            Settle(stream);
        }
    }

    /// <summary>Handles what waits in both directions; true when there is more to do at once.</summary>
    public bool Turn()
    {
        var more = Transmit();
        return Receive() | more;
    }

    /// <summary>
    /// Takes what the guest had sent when its queues were stopped: a machine that powers off right after its last
    /// write loses nothing. A full ring is four turns; a guest that goes on filling it gets no more.
    /// </summary>
    public void TakeLastPackets()
    {
        for (var turns = 0; turns < Virtqueue.MaxSize / PacketsPerTurn && Transmit(); turns++)
        {
        }
    }

    /// <summary>The guest is gone, or starts anew: all connections end; ports that wait for one stay open.</summary>
    public void DropConnections()
    {
        muxer.Clear();
        senders.Clear();
        foreach (var stream in streams.Values.ToArray())
        {
            stream.Listed = false;
            if (stream.Connection is null)
                continue;
            stream.Disconnect();
            Forget(stream);
        }
    }

    /// <summary>Closes everything.</summary>
    public void Close()
    {
        DropConnections();
        foreach (var stream in streams.Values.ToArray())
            Abort(stream);
    }

    /// <summary>Closes the ports that nobody will connect to any more; what was received is still delivered.</summary>
    public void CloseIdle()
    {
        foreach (var stream in streams.Values.ToArray())
        {
            if (!stream.Channel.Connected.IsCompleted)
                Abort(stream);
        }
    }

    /// <summary>Guest to host.</summary>
    private bool Transmit()
    {
        if (backend.Running(VhostUserBackend.TransmitQueue) is not { } queue)
            return false;
        queue.DisableKicks();
        var left = PacketsPerTurn;
        while (left > 0)
        {
            if (!queue.TryPeek())
            {
                if (queue.EnableKicks())
                    continue;
                break;
            }

            Deliver(queue.Readable);
            queue.Complete(0);
            left--;
        }

        if (queue.TakeInterrupt())
            backend.Call(VhostUserBackend.TransmitQueue);
        return left == 0;
    }

    private void Deliver(VectorList packet)
    {
        Span<byte> bytes = stackalloc byte[PacketHeader.Size];
        if (packet.CopyTo(bytes) < PacketHeader.Size)
            return;
        packet.Skip(PacketHeader.Size);
        var header = PacketHeader.Read(bytes);
        var effect = muxer.Receive(header, packet.Bytes, out var connection);
        if (connection is null || !streams.TryGetValue(connection.HostPort, out var stream))
            return;
        switch (effect)
        {
            case Effect.Connected:
                stream.Connect(connection, connection.HostPort | SourceKey, connection.HostPort | SinkKey);
                break;
            case Effect.Data:
                packet.Limit(header.Length);
                stream.Write(packet);
                break;
            case Effect.Changed when connection.GuestShutdown.HasFlag(ShutdownFlags.Send):
                stream.GuestIsOver();
                break;
            case Effect.Ended:
                stream.Disconnect();
                Forget(stream);
                return;
        }

        Settle(stream);
    }

    /// <summary>Host to guest: control packets first, then one packet of each stream in turn.</summary>
    private bool Receive()
    {
        if (backend.Running(VhostUserBackend.ReceiveQueue) is not { } queue)
            return false;
        queue.DisableKicks();
        var left = PacketsPerTurn;
        while (left > 0 && (muxer.HasControl || senders.Count > 0))
        {
            if (!queue.TryPeek())
            {
                if (queue.EnableKicks())
                    continue;
                break;
            }

            if (queue.Writable.Bytes < PacketHeader.Size)
                throw new VsockProtocolException("vsock receive queue: a buffer is smaller than a header");
            if (muxer.TryTakeControl(out var header))
            {
                Send(queue, header);
                // A source that was ready before the guest had its answer gets no second event: files never do.
                if (header.Operation == Operation.Response && streams.TryGetValue(header.SourcePort, out var answered))
                    List(answered);
            }
            else if (senders.TryDequeue(out var stream))
                Send(queue, stream);
            left--;
        }

        if (queue.TakeInterrupt())
            backend.Call(VhostUserBackend.ReceiveQueue);
        return left == 0;
    }

    private static void Send(Virtqueue queue, in PacketHeader header)
    {
        Span<IoVector> front = stackalloc IoVector[PacketHeader.Size];
        Write(header, front[..queue.Writable.Take(PacketHeader.Size, front)]);
        queue.Complete(PacketHeader.Size);
    }

    /// <summary>Reads from a stream's source right into the buffer of the guest.</summary>
    private void Send(Virtqueue queue, GuestStream stream)
    {
        stream.Listed = false;
        if (!stream.WantsToSend || stream.Connection is not { } connection)
            return;
        // Without credit it is listed again when the guest gives some.
        var credit = Math.Min(connection.Credit, MaxPayload);
        if (credit > 0 && queue.Writable.Bytes > PacketHeader.Size)
        {
            Span<IoVector> front = stackalloc IoVector[PacketHeader.Size];
            var count = queue.Writable.Take(PacketHeader.Size, front);
            queue.Writable.Limit(credit);
            var length = stream.Read(queue.Writable.Vectors);
            if (length > 0)
            {
                Write(connection.TakeData(guestCid, (uint)length), front[..count]);
                queue.Complete(PacketHeader.Size + (uint)length);
                List(stream);
                return;
            }
        }

        if (stream.TakeSourceEnd())
        {
            connection.ShutDown(ShutdownFlags.Send);
            muxer.List(connection);
        }
    }

    private static void Write(in PacketHeader header, ReadOnlySpan<IoVector> where)
    {
        Span<byte> bytes = stackalloc byte[PacketHeader.Size];
        header.Write(bytes);
        VectorList.Scatter(bytes, where);
    }

    /// <summary>After anything changed: lists what the stream owes the guest, and forgets it once it is over.</summary>
    private void Settle(GuestStream stream)
    {
        if (stream.Connection is { } connection)
            muxer.List(connection);
        List(stream);
        Forget(stream);
    }

    private void List(GuestStream stream)
    {
        if (stream.Listed || !stream.WantsToSend)
            return;
        stream.Listed = true;
        senders.Enqueue(stream);
    }

    private void Forget(GuestStream stream)
    {
        if (!stream.Over)
            return;
        muxer.Close(stream.Channel.Port);
        streams.Remove(stream.Channel.Port);
    }
}
