namespace KataLike.Runtime.Vsock;

/// <summary>
/// One stream as the protocol sees it: credit, in bytes that wrap at 2^32, and which directions are over. No I/O.
/// </summary>
internal sealed class Connection(uint guestPort, uint hostPort)
{
    /// <summary>The bytes that we promise to hold for the guest while the sink takes none (buf_alloc).</summary>
    public const uint BufferSize = 256 * 1024;

    private uint sent;
    private uint guestBuffer;
    private uint guestForwarded;
    private uint received;
    private uint forwarded;
    private uint forwardedAsTold;
    private bool responseDue = true;
    private bool creditDue;
    private ShutdownFlags shutdownDue;
    private ShutdownFlags shutdownTold;

    public uint GuestPort { get; } = guestPort;

    public uint HostPort { get; } = hostPort;

    /// <summary>What the guest is done with.</summary>
    public ShutdownFlags GuestShutdown { get; private set; }

    /// <summary>Whether the muxer has it in its list of those with something to say.</summary>
    public bool Listed { get; set; }

    /// <summary>The bytes that may be sent now. A guest that counts wrong gets nothing.</summary>
    public uint Credit
    {
        get
        {
            var inFlight = sent - guestForwarded;
            return inFlight >= guestBuffer ? 0 : guestBuffer - inFlight;
        }
    }

    public bool MaySend => !responseDue && !GuestShutdown.HasFlag(ShutdownFlags.Receive) &&
        !(shutdownTold | shutdownDue).HasFlag(ShutdownFlags.Send);

    /// <summary>The bytes received that are not with the sink yet.</summary>
    public uint Held => received - forwarded;

    public bool HasControl => responseDue || creditDue || (shutdownDue & ~shutdownTold) != 0;

    /// <summary>Takes over what each packet of the guest says about its buffer.</summary>
    public void LearnCredit(in PacketHeader header)
    {
        guestBuffer = header.BufferAllocation;
        guestForwarded = header.ForwardCount;
    }

    /// <summary>Counts a payload in; false when the guest broke its promises.</summary>
    public bool TryReceive(uint length)
    {
        if (length > BufferSize - Held || GuestShutdown.HasFlag(ShutdownFlags.Send))
            return false;
        received += length;
        return true;
    }

    /// <summary>Counts bytes that the sink took, and plans an update when the guest thinks that space is short.</summary>
    public void Forward(uint length)
    {
        forwarded += length;
        var full = received - forwardedAsTold >= BufferSize / 2;
        if (full && (Held == 0 || forwarded - forwardedAsTold >= BufferSize / 4))
            creditDue = true;
    }

    public void GuestShutsDown(ShutdownFlags flags) => GuestShutdown |= flags & ShutdownFlags.Both;

    public void RequestCreditUpdate() => creditDue = true;

    /// <summary>Plans to tell the guest what the host is done with, once.</summary>
    public void ShutDown(ShutdownFlags flags) => shutdownDue |= flags;

    /// <summary>The next control packet; the order is that in which the guest must see them.</summary>
    public bool TryTakeControl(uint guestCid, out PacketHeader header)
    {
        header = default;
        if (responseDue)
        {
            responseDue = creditDue = false;
            header = Compose(guestCid, Operation.Response);
        }
        else if ((shutdownDue & ~shutdownTold) != 0)
        {
            shutdownTold = shutdownDue;
            creditDue = false;
            header = Compose(guestCid, Operation.Shutdown) with { Flags = (uint)shutdownTold };
        }
        else if (creditDue)
        {
            creditDue = false;
            header = Compose(guestCid, Operation.CreditUpdate);
        }
        else
        {
            return false;
        }

        return true;
    }

    /// <summary>The header for bytes that are on their way; at most <see cref="Credit"/>.</summary>
    public PacketHeader TakeData(uint guestCid, uint length)
    {
        sent += length;
        creditDue = false;
        return Compose(guestCid, Operation.Data) with { Length = length };
    }

    private PacketHeader Compose(uint guestCid, Operation operation)
    {
        forwardedAsTold = forwarded;
        return new PacketHeader(
            Muxer.HostCid, guestCid, HostPort, GuestPort, 0, PacketHeader.StreamType, operation, 0, BufferSize, forwarded);
    }
}
