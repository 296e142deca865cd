namespace KataLike.Runtime.Vsock;

/// <summary>What a packet of the guest means to the device.</summary>
internal enum Effect
{
    None,

    /// <summary>A port that was open has its connection now.</summary>
    Connected,

    /// <summary>The payload belongs to the connection; it has been counted.</summary>
    Data,

    /// <summary>The guest's credit or shutdown flags changed.</summary>
    Changed,

    /// <summary>The connection is over; it is out of the table already.</summary>
    Ended,
}

/// <summary>
/// The table of host ports and connections, and the control packets that wait for a buffer of the guest. No I/O.
/// Nothing the guest sends makes it grow: connections need a port that the host opened, each owes at most one packet
/// of a kind, and resets for others are kept up to <see cref="MaxResets"/>.
/// </summary>
internal sealed class Muxer(uint guestCid)
{
    public const uint HostCid = 2;
    public const int MaxPorts = 1024;

    /// <summary>Resets beyond that are dropped: the guest offers no buffers but goes on asking.</summary>
    public const int MaxResets = 1024;

    private readonly HashSet<uint> open = [];
    private readonly Dictionary<uint, Connection> connections = [];
    private readonly Queue<Connection> owing = [];
    private readonly Queue<(uint HostPort, uint GuestPort)> resets = [];

    public int Connections => connections.Count;

    public void Open(uint port) => open.Add(port);

    public void Close(uint port) => open.Remove(port);

    /// <summary>Judges one packet. <paramref name="available"/> is what the chain holds behind the header.</summary>
    public Effect Receive(in PacketHeader header, ulong available, out Connection? connection)
    {
        connection = null;
        // A source other than the guest, or a destination other than us, cannot be answered.
        if (header.SourceCid != guestCid || header.DestinationCid != HostCid)
            return Effect.None;
        if (!connections.TryGetValue(header.DestinationPort, out connection) ||
            connection.GuestPort != header.SourcePort)
            return ReceiveUnknown(header, out connection);
        if (header.Operation == Operation.Reset)
        {
            connections.Remove(header.DestinationPort);
            return Effect.Ended;
        }

        if (header.Type != PacketHeader.StreamType || header.Length > available)
            return Reset(connection);
        connection.LearnCredit(header);
        var effect = Apply(header, connection);
        List(connection);
        return effect;
    }

    /// <summary>Ends a connection from this side.</summary>
    public Effect Reset(Connection connection)
    {
        connections.Remove(connection.HostPort);
        AddReset(connection.HostPort, connection.GuestPort);
        return Effect.Ended;
    }

    /// <summary>To be called when a connection may owe a control packet.</summary>
    public void List(Connection connection)
    {
        if (connection.Listed || !connection.HasControl)
            return;
        connection.Listed = true;
        owing.Enqueue(connection);
    }

    public bool HasControl => resets.Count > 0 || owing.Count > 0;

    /// <summary>The next control packet for the guest.</summary>
    public bool TryTakeControl(out PacketHeader header)
    {
        while (owing.TryPeek(out var connection))
        {
            if (IsCurrent(connection) && connection.TryTakeControl(guestCid, out header))
                return true;
            connection.Listed = false;
            owing.Dequeue();
        }

        if (resets.TryDequeue(out var reset))
        {
            header = new PacketHeader(
                HostCid, guestCid, reset.HostPort, reset.GuestPort, 0, PacketHeader.StreamType, Operation.Reset, 0, 0, 0);
            return true;
        }

        header = default;
        return false;
    }

    /// <summary>Forgets all connections and what they owe; open ports stay.</summary>
    public void Clear()
    {
        connections.Clear();
        owing.Clear();
        resets.Clear();
    }

    private Effect ReceiveUnknown(in PacketHeader header, out Connection? connection)
    {
        connection = null;
        if (header.Operation == Operation.Reset)
            return Effect.None;
        if (header.Operation != Operation.Request || header.Type != PacketHeader.StreamType ||
            !open.Remove(header.DestinationPort))
        {
            AddReset(header.DestinationPort, header.SourcePort);
            return Effect.None;
        }

        connection = new Connection(header.SourcePort, header.DestinationPort);
        connection.LearnCredit(header);
        connections.Add(header.DestinationPort, connection);
        List(connection);
        return Effect.Connected;
    }

    private Effect Apply(in PacketHeader header, Connection connection)
    {
        switch (header.Operation)
        {
            case Operation.Data when connection.TryReceive(header.Length):
                return Effect.Data;
            case Operation.CreditUpdate:
                return Effect.Changed;
            case Operation.CreditRequest:
                connection.RequestCreditUpdate();
                return Effect.Changed;
            case Operation.Shutdown:
                connection.GuestShutsDown((ShutdownFlags)header.Flags);
                // The guest has closed; the reset lets it forget the connection without waiting for its timeout.
                return connection.GuestShutdown == ShutdownFlags.Both ? Reset(connection) : Effect.Changed;
            default:
                return Reset(connection);
        }
    }

    private bool IsCurrent(Connection connection) =>
        connections.TryGetValue(connection.HostPort, out var current) && ReferenceEquals(current, connection);

    private void AddReset(uint hostPort, uint guestPort)
    {
        if (resets.Count < MaxResets)
            resets.Enqueue((hostPort, guestPort));
    }
}
