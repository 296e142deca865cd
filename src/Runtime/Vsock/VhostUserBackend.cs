using System.Buffers.Binary;
using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>
/// The device's state as the front end (QEMU) sets it up: features, the guest's memory, the queues (vhost-user
/// specification, "Message types"). No thread and no socket: messages go in, replies come out.
/// </summary>
internal sealed class VhostUserBackend(uint guestCid) : IDisposable
{
    public const int ReceiveQueue = 0, TransmitQueue = 1, EventQueue = 2;

    private const int QueueCount = 3;
    private const int MaxRegions = 8;
    private const ulong Indirect = 1UL << 28, EventIndex = 1UL << 29, ProtocolFeatures = 1UL << 30, Version1 = 1UL << 32;
    private const ulong Offered = Indirect | EventIndex | ProtocolFeatures | Version1;
    private const ulong ReplyAck = 1UL << 3, Configuration = 1UL << 9;

    private readonly Vring[] vrings = [new("receive"), new("transmit"), new("event")];
    private GuestMemory? memory;
    private ulong features;
    private ulong protocolFeatures;

    /// <summary>Called before a queue goes away or the memory changes; nothing may be kept of either.</summary>
    public Action<int>? QueueStopped { get; set; }

    /// <summary>Called when a queue's kick descriptor is replaced: with the old one (to forget) and the new one.</summary>
    public Action<int, FileDescriptor?, FileDescriptor?>? KickChanged { get; set; }

    /// <summary>A queue that is set up and enabled; null otherwise.</summary>
    public Virtqueue? Running(int index) => vrings[index].Enabled ? vrings[index].Queue : null;

    /// <summary>Interrupts the driver.</summary>
    public void Call(int index)
    {
        if (vrings[index].Call is { } call)
            Polling.Signal(call);
    }

    /// <summary>Applies one message; answers the reply's bytes, or null. The message's descriptors are taken over.</summary>
    public byte[]? Handle(VhostUserMessage message)
    {
        using (message)
        {
            var reply = Apply(message, out var known);
            if (reply is not null)
                return VhostUserMessage.Reply(message.Request, reply);
            if (!message.NeedsReply || (protocolFeatures & ReplyAck) == 0)
                return null;
            return VhostUserMessage.Reply(message.Request, Bytes(known ? 0UL : 1UL));
        }
    }

    public void Dispose()
    {
        foreach (var vring in vrings)
            vring.Dispose();
        memory?.Dispose();
    }

    private byte[]? Apply(VhostUserMessage message, out bool known)
    {
        known = true;
        switch (message.Request)
        {
            case VhostUserRequest.GetFeatures:
                return Bytes(Offered);
            case VhostUserRequest.SetFeatures:
                SetFeatures(Number(message));
                break;
            case VhostUserRequest.GetProtocolFeatures:
                return Bytes(ReplyAck | Configuration);
            case VhostUserRequest.SetProtocolFeatures:
                protocolFeatures = Number(message) & (ReplyAck | Configuration);
                break;
            case VhostUserRequest.GetQueueCount:
                return Bytes(QueueCount);
            case VhostUserRequest.GetConfig:
                return GetConfig(message.Payload);
            case VhostUserRequest.SetOwner:
                break;
            case VhostUserRequest.ResetOwner:
                for (var i = 0; i < QueueCount; i++)
                    Stop(i);
                break;
            case VhostUserRequest.SetMemoryTable:
                SetMemoryTable(message);
                break;
            default:
                return ApplyToVring(message, out known);
        }

        return null;
    }

    private byte[]? ApplyToVring(VhostUserMessage message, out bool known)
    {
        known = true;
        switch (message.Request)
        {
            case VhostUserRequest.SetVringSize:
                var (sized, size) = State(message);
                vrings[sized].Size = size <= Virtqueue.MaxSize ? (ushort)size : throw Bad(message, $"size {size}");
                break;
            case VhostUserRequest.SetVringBase:
                var (based, start) = State(message);
                vrings[based].Base = (ushort)start;
                break;
            case VhostUserRequest.SetVringAddresses:
                SetAddresses(message);
                break;
            case VhostUserRequest.SetVringEnable:
                var (enabled, on) = State(message);
                if (on == 0)
                    QueueStopped?.Invoke(enabled);
                vrings[enabled].Enabled = on != 0;
                break;
            case VhostUserRequest.GetVringBase:
                var (stopped, _) = State(message);
                Stop(stopped);
                return StateBytes((uint)stopped, vrings[stopped].Base);
            case VhostUserRequest.SetVringKick:
                var (kicked, kick) = File(message);
                SetKick(kicked, kick);
                break;
            case VhostUserRequest.SetVringCall:
                var (called, call) = File(message);
                vrings[called].ReplaceCall(call);
                break;
            case VhostUserRequest.SetVringError:
                File(message).File?.Dispose();
                break;
            default:
                known = false;
                break;
        }

        return null;
    }

    /// <summary>Bits that were not offered are QEMU's own business with the driver, and mean nothing here.</summary>
    private void SetFeatures(ulong value)
    {
        features = value;
        // Without protocol features a queue runs from its kick descriptor on; with them it must be enabled.
        foreach (var vring in vrings)
            vring.Enabled |= (value & ProtocolFeatures) == 0;
    }

    /// <summary>struct virtio_vsock_config: the guest's cid, 64 bits. Asked for as offset, size, flags, and room.</summary>
    private byte[] GetConfig(byte[] payload)
    {
        if (payload.Length < 12)
            throw new VsockProtocolException($"vhost-user: configuration request of {payload.Length} bytes");
        var offset = BinaryPrimitives.ReadUInt32LittleEndian(payload);
        var size = BinaryPrimitives.ReadUInt32LittleEndian(payload.AsSpan(4));
        if (offset > 8 || size > 8 - offset || payload.Length < 12 + size)
            return [];
        var reply = payload.AsSpan(0, 12 + (int)size).ToArray();
        Bytes(guestCid).AsSpan((int)offset, (int)size).CopyTo(reply.AsSpan(12));
        return reply;
    }

    private void SetMemoryTable(VhostUserMessage message)
    {
        var payload = message.Payload.AsSpan();
        var count = payload.Length >= 8 ? BinaryPrimitives.ReadUInt32LittleEndian(payload) : uint.MaxValue;
        if (count > MaxRegions || payload.Length < 8 + (32 * (int)count) || message.Files.Count != count)
            throw Bad(message, $"{count} regions in {payload.Length} bytes with {message.Files.Count} descriptors");
        var regions = new MemoryRegion[count];
        for (var i = 0; i < regions.Length; i++)
        {
            var region = payload.Slice(8 + (32 * i), 32);
            regions[i] = new MemoryRegion(
                BinaryPrimitives.ReadUInt64LittleEndian(region),
                BinaryPrimitives.ReadUInt64LittleEndian(region[8..]),
                BinaryPrimitives.ReadUInt64LittleEndian(region[16..]),
                BinaryPrimitives.ReadUInt64LittleEndian(region[24..]));
        }

        var next = new GuestMemory(regions, message.Files);
        var old = memory;
        memory = next;
        // Running queues go on where they were, in the new mapping; no pointer into the old one survives.
        for (var i = 0; i < QueueCount; i++)
        {
            if (vrings[i].Queue is not { } queue)
                continue;
            vrings[i].Base = queue.Next;
            vrings[i].Queue = null;
            StartQueue(i);
        }

        old?.Dispose();
    }

    private void SetAddresses(VhostUserMessage message)
    {
        if (message.Payload.Length < 40)
            throw Bad(message, "too short");
        var payload = message.Payload.AsSpan();
        var vring = vrings[Index(message, BinaryPrimitives.ReadUInt32LittleEndian(payload))];
        vring.Addresses = new RingAddresses(
            BinaryPrimitives.ReadUInt64LittleEndian(payload[8..]),
            Used: BinaryPrimitives.ReadUInt64LittleEndian(payload[16..]),
            Available: BinaryPrimitives.ReadUInt64LittleEndian(payload[24..]));
    }

    private void SetKick(int index, FileDescriptor? kick)
    {
        var vring = vrings[index];
        if (kick is null)
            throw new VsockProtocolException($"vhost-user: {vring.Name} queue has no kick descriptor; polling is not supported");
        KickChanged?.Invoke(index, vring.Kick, kick);
        vring.ReplaceKick(kick);
        if (vring.Queue is null)
            StartQueue(index);
    }

    private void StartQueue(int index)
    {
        var vring = vrings[index];
        if (memory is null)
            throw new VsockProtocolException("vhost-user: a queue starts before memory is known");
        vring.Queue = new Virtqueue(
            vring.Name, memory, vring.Size, vring.Addresses, vring.Base,
            (features & EventIndex) != 0, (features & Indirect) != 0);
    }

    private void Stop(int index)
    {
        var vring = vrings[index];
        QueueStopped?.Invoke(index);
        if (vring.Queue is { } queue)
            vring.Base = queue.Next;
        vring.Queue = null;
        KickChanged?.Invoke(index, vring.Kick, null);
        vring.ReplaceKick(null);
    }

    private static ulong Number(VhostUserMessage message) => message.Payload.Length >= 8
        ? BinaryPrimitives.ReadUInt64LittleEndian(message.Payload)
        : throw Bad(message, "too short");

    private static (int Index, uint Value) State(VhostUserMessage message) => message.Payload.Length >= 8
        ? (Index(message, BinaryPrimitives.ReadUInt32LittleEndian(message.Payload)),
            BinaryPrimitives.ReadUInt32LittleEndian(message.Payload.AsSpan(4)))
        : throw Bad(message, "too short");

    /// <summary>A queue's number in the low byte, and its descriptor unless bit 8 says that there is none.</summary>
    private static (int Index, FileDescriptor? File) File(VhostUserMessage message)
    {
        var number = Number(message);
        var index = Index(message, (uint)(number & 0xff));
        var expected = (number & 0x100) != 0 ? 0 : 1;
        if (message.Files.Count != expected)
            throw Bad(message, $"{message.Files.Count} descriptors");
        if (expected == 0)
            return (index, null);
        var file = message.Files[0];
        message.Files.Clear();
        return (index, file);
    }

    private static int Index(VhostUserMessage message, uint index) =>
        index < QueueCount ? (int)index : throw Bad(message, $"queue {index}");

    private static VsockProtocolException Bad(VhostUserMessage message, string what) =>
        new($"vhost-user: bad {message.Request}: {what}");

    private static byte[] Bytes(ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return bytes;
    }

    private static byte[] StateBytes(uint index, uint value) => Bytes(index | ((ulong)value << 32));

    /// <summary>One queue as it is being set up.</summary>
    private sealed class Vring(string name) : IDisposable
    {
        public string Name { get; } = name;

        public ushort Size { get; set; }

        public ushort Base { get; set; }

        public bool Enabled { get; set; }

        public RingAddresses Addresses { get; set; }

        public Virtqueue? Queue { get; set; }

        public FileDescriptor? Kick { get; private set; }

        public FileDescriptor? Call { get; private set; }

        public void ReplaceKick(FileDescriptor? next)
        {
            Kick?.Dispose();
            Kick = next;
        }

        public void ReplaceCall(FileDescriptor? next)
        {
            Call?.Dispose();
            Call = next;
        }

        public void Dispose()
        {
            ReplaceKick(null);
            ReplaceCall(null);
        }
    }
}
