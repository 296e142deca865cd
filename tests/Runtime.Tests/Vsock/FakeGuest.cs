using System.Buffers.Binary;
using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Vsock;

/// <summary>Plays QEMU and a guest's driver against the device: the vhost-user handshake, and two rings in a memfd.</summary>
internal sealed unsafe class FakeGuest : IDisposable
{
    public const uint Cid = 3;
    public const ulong GuestBase = 0x4000_0000, UserBase = 0x7f12_0000_0000, MemorySize = 16 << 20;

    private const int QueueSize = 64, TransmitSlots = 16, ReceiveSize = 4096 + PacketHeader.Size;
    private const int ReceiveArea = 0x100000, TransmitArea = 0x400000, TransmitStride = 0x20000;
    private const int Timeout = 20_000;

    private readonly FileDescriptor frontEnd;
    private readonly FileDescriptor file = Memory.CreateFile("guest", MemorySize);
    private readonly FileDescriptor[] kicks = [Polling.CreateEvent(), Polling.CreateEvent()];
    private readonly FileDescriptor[] calls = [Polling.CreateEvent(), Polling.CreateEvent()];
    private readonly MappedMemory memory;
    private ushort received;

    public FakeGuest(FileDescriptor frontEnd, bool eventIndex = true)
    {
        this.frontEnd = frontEnd;
        memory = MappedMemory.Share(file, MemorySize);
        Assert.Equal(0x170000000UL, Ask(VhostUserRequest.GetFeatures) & 0x1f0000000UL);
        Tell(VhostUserRequest.SetProtocolFeatures, Bytes(Ask(VhostUserRequest.GetProtocolFeatures)));
        Tell(VhostUserRequest.SetOwner, []);
        Tell(VhostUserRequest.SetFeatures, Bytes(eventIndex ? 0x170000000UL : 0x150000000UL));
        SetMemoryTable();
        for (var queue = 0; queue < 2; queue++)
            StartQueue(queue);
        for (var i = 0; i < QueueSize; i++)
            OfferReceiveBuffer((ushort)i);
        Polling.Signal(kicks[0]);
    }

    public byte* At(int offset) => memory.Pointer + offset;

    public void SetMemoryTable()
    {
        var table = new byte[40];
        table[0] = 1;
        Bytes(GuestBase).CopyTo(table, 8);
        Bytes(MemorySize).CopyTo(table, 16);
        Bytes(UserBase).CopyTo(table, 24);
        Tell(VhostUserRequest.SetMemoryTable, table, file);
    }

    /// <summary>What the guest's kernel does on reboot: both queues stop.</summary>
    public void Reset()
    {
        AskRaw(VhostUserRequest.GetVringBase, Pair(0, 0));
        AskRaw(VhostUserRequest.GetVringBase, Pair(1, 0));
    }

    /// <summary>Puts one packet into the transmit ring, in so many descriptors; waits for room.</summary>
    public void Send(PacketHeader header, ReadOnlySpan<byte> payload = default, int pieces = 2)
    {
        var available = (ushort*)At(0x10000 + 0x4000);
        var used = (ushort*)At(0x10000 + 0x8000);
        while ((ushort)(available[1] - Volatile.Read(ref used[1])) >= TransmitSlots)
            Wait(1);
        var slot = available[1] % TransmitSlots;
        var area = TransmitArea + (slot * TransmitStride);
        var packet = new Span<byte>(At(area), PacketHeader.Size + payload.Length);
        header.Write(packet);
        payload.CopyTo(packet[PacketHeader.Size..]);
        var start = 0;
        for (var i = 0; i < pieces; i++)
        {
            var length = i == pieces - 1 ? packet.Length - start : Math.Min(packet.Length - start, i == 0 ? 20 : packet.Length / pieces);
            Describe(1, (slot * 4) + i, area + start, length, (ushort)(i < pieces - 1 ? 1 : 0), (ushort)((slot * 4) + i + 1));
            start += length;
        }

        Offer(1, (ushort)(slot * 4));
        // Always wants an interrupt for the next completion.
        available[2 + QueueSize] = used[1];
        Polling.Signal(kicks[1]);
    }

    /// <summary>Takes the next packet out of the receive ring; waits for it.</summary>
    public (PacketHeader Header, byte[] Payload) Receive()
    {
        while (true)
        {
            if (TryReceive() is { } packet)
                return packet;
            Wait(0);
        }
    }

    public (PacketHeader Header, byte[] Payload)? TryReceive()
    {
        var used = At(0x8000);
        ((ushort*)At(0x4000))[2 + QueueSize] = received;
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref ((ushort*)used)[1]) == received)
            return null;
        var entry = (uint*)(used + 4 + (8 * (received % QueueSize)));
        var bytes = new ReadOnlySpan<byte>(At(ReceiveArea + ((int)entry[0] * ReceiveSize)), (int)entry[1]);
        var header = PacketHeader.Read(bytes);
        Assert.Equal(header.Length, (uint)(bytes.Length - PacketHeader.Size));
        var payload = bytes[PacketHeader.Size..].ToArray();
        received++;
        OfferReceiveBuffer((ushort)entry[0]);
        Polling.Signal(kicks[0]);
        return (header, payload);
    }

    public void Describe(int queue, int index, int offset, int length, ushort flags, ushort next)
    {
        var descriptor = At((queue * 0x10000) + (index * 16));
        *(ulong*)descriptor = GuestBase + (ulong)offset;
        *(uint*)(descriptor + 8) = (uint)length;
        *(ushort*)(descriptor + 12) = flags;
        *(ushort*)(descriptor + 14) = next;
    }

    public void Offer(int queue, ushort head, int jump = 1)
    {
        var available = (ushort*)At((queue * 0x10000) + 0x4000);
        available[2 + (available[1] % QueueSize)] = head;
        Volatile.Write(ref available[1], (ushort)(available[1] + jump));
    }

    public void Kick(int queue) => Polling.Signal(kicks[queue]);

    public void Wait(int queue)
    {
        var (ready, _) = Polling.WaitAny(calls[queue], PollEvents.Readable, calls[queue], PollEvents.None, Timeout);
        Assert.True(ready != PollEvents.None, "the device did not answer");
        Polling.Clear(calls[queue]);
    }

    public void Dispose()
    {
        memory.Dispose();
        file.Dispose();
        foreach (var descriptor in (FileDescriptor[])[.. kicks, .. calls])
            descriptor.Dispose();
    }

    private void OfferReceiveBuffer(ushort index)
    {
        Describe(0, index, ReceiveArea + (index * ReceiveSize), ReceiveSize, 2, 0);
        Offer(0, index);
    }

    private void StartQueue(int queue)
    {
        var index = (uint)queue;
        var ring = UserBase + (0x10000UL * index);
        Tell(VhostUserRequest.SetVringSize, Pair(index, QueueSize));
        Tell(VhostUserRequest.SetVringBase, Pair(index, 0));
        Tell(VhostUserRequest.SetVringAddresses,
            [.. Pair(index, 0), .. Bytes(ring), .. Bytes(ring + 0x8000), .. Bytes(ring + 0x4000), .. Bytes(0)]);
        Tell(VhostUserRequest.SetVringKick, Bytes(index), kicks[queue]);
        Tell(VhostUserRequest.SetVringCall, Bytes(index), calls[queue]);
        Tell(VhostUserRequest.SetVringEnable, Pair(index, 1));
    }

    private void Tell(VhostUserRequest request, byte[] payload, params FileDescriptor[] files)
    {
        SendMessage(request, payload, files, needReply: true);
        Assert.Equal(0UL, BinaryPrimitives.ReadUInt64LittleEndian(ReadReply()));
    }

    private ulong Ask(VhostUserRequest request) => BinaryPrimitives.ReadUInt64LittleEndian(AskRaw(request, []));

    private byte[] AskRaw(VhostUserRequest request, byte[] payload)
    {
        SendMessage(request, payload, [], needReply: false);
        return ReadReply();
    }

    private void SendMessage(VhostUserRequest request, byte[] payload, FileDescriptor[] files, bool needReply)
    {
        var message = VhostUserMessage.Reply(request, payload);
        message[4] = (byte)(needReply ? 9 : 1);
        Assert.Equal(message.Length, UnixSockets.TrySend(frontEnd, message, files));
    }

    private byte[] ReadReply()
    {
        var header = new byte[12];
        Assert.Equal(12, UnixSockets.TryReceive(frontEnd, header, new List<FileDescriptor>(), wait: true));
        var payload = new byte[header[8]];
        Assert.Equal(payload.Length, UnixSockets.TryReceive(frontEnd, payload, new List<FileDescriptor>(), wait: true));
        return payload;
    }

    private static byte[] Bytes(ulong value) => BitConverter.GetBytes(value);

    private static byte[] Pair(uint first, uint second) => Bytes(first | ((ulong)second << 32));
}

/// <summary>The guest's end of one stream: credit, and the packets that it may get.</summary>
internal sealed class FakeStream(FakeGuest guest, uint guestPort, uint hostPort)
{
    public const uint Buffer = 256 * 1024;

    private uint sent, hostBuffer, hostForwarded, received, told;

    public uint Credit => hostBuffer - (sent - hostForwarded);

    public uint Received => received;

    public PacketHeader Header(Operation operation, uint length = 0, uint flags = 0) => new(
        FakeGuest.Cid, Muxer.HostCid, guestPort, hostPort, length, PacketHeader.StreamType, operation, flags, Buffer, told = received);

    public void Connect()
    {
        guest.Send(Header(Operation.Request));
        var (header, _) = guest.Receive();
        Assert.Equal(Operation.Response, header.Operation);
        Learn(header);
    }

    public void Send(ReadOnlySpan<byte> payload, int pieces = 2)
    {
        sent += (uint)payload.Length;
        guest.Send(Header(Operation.Data, (uint)payload.Length), payload, pieces);
    }

    public void Learn(PacketHeader header)
    {
        Assert.Equal((hostPort, guestPort), (header.SourcePort, header.DestinationPort));
        (hostBuffer, hostForwarded) = (header.BufferAllocation, header.ForwardCount);
        received += header.Length;
        if (received - told >= Buffer / 2)
            guest.Send(Header(Operation.CreditUpdate));
    }
}
