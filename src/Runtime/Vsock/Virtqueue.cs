using System.Runtime.InteropServices;

namespace KataLike.Runtime.Vsock;

/// <summary>The addresses of a ring's three parts, as QEMU's own addresses.</summary>
internal readonly record struct RingAddresses(ulong Descriptors, ulong Available, ulong Used);

/// <summary>
/// The device's side of a split virtqueue (virtio 1.2, 2.7). Chains are looked at and completed one after another and
/// never kept, so a chain that was looked at but not completed is simply offered again.
/// </summary>
/// <remarks>
/// The driver may change anything at any time. What is read here is read once into a local and then checked; a
/// driver that breaks the rules gets a <see cref="VsockProtocolException"/>, after which the queue is not to be used.
/// </remarks>
internal sealed unsafe class Virtqueue
{
    public const ushort MaxSize = VectorList.Capacity;

    private const ushort DescriptorNext = 1, DescriptorWrite = 2, DescriptorIndirect = 4;
    private const ushort NoInterrupt = 1, NoNotify = 1;

    private readonly GuestMemory memory;
    private readonly string name;
    private readonly ushort size;
    private readonly bool eventIndex;
    private readonly bool indirect;
    private readonly Descriptor* descriptors;
    private readonly byte* available;
    private readonly byte* used;
    private ushort next;
    private ushort signalled;
    private ushort head;

    /// <summary>Binds to a ring in the guest's memory, which must outlive this.</summary>
    public Virtqueue(
        string name, GuestMemory memory, ushort size, RingAddresses ring, ushort next, bool eventIndex, bool indirect)
    {
        if (size is 0 or > MaxSize || !ushort.IsPow2(size))
            throw new VsockProtocolException($"vsock {name} queue: bad size {size}");
        (this.name, this.memory, this.size, this.next) = (name, memory, size, next);
        (this.eventIndex, this.indirect) = (eventIndex, indirect);
        // SAFETY: the whole of each part is checked to lie in the guest's memory; all later indices are below size.
        descriptors = (Descriptor*)Part(ring.Descriptors, 16, 16UL * size);
        available = Part(ring.Available, 2, 4 + (2UL * size) + 2);
        used = Part(ring.Used, 4, 4 + (8UL * size) + 2);
        signalled = next;
    }

    /// <summary>The next chain's index, which is also the number of chains completed, modulo 2^16.</summary>
    public ushort Next => next;

    /// <summary>What the driver wrote in the chain that was looked at last.</summary>
    public VectorList Readable { get; } = new();

    /// <summary>Where the device may write in it.</summary>
    public VectorList Writable { get; } = new();

    /// <summary>Looks at the next chain; false when the driver has offered no more.</summary>
    public bool TryPeek()
    {
        var offered = (ushort)(Volatile.Read(ref *(ushort*)(available + 2)) - next);
        if (offered == 0)
            return false;
        if (offered > size)
            throw Broken($"available index jumped by {offered}");
        head = *(ushort*)(available + 4 + (2 * (next & (size - 1))));
        Readable.Clear();
        Writable.Clear();
        Walk(descriptors, size, head, inTable: false);
        return true;
    }

    /// <summary>Gives the chain that was looked at back to the driver, with so many bytes written.</summary>
    public void Complete(uint written)
    {
        var entry = (uint*)(used + 4 + (8 * (next & (size - 1))));
        entry[0] = head;
        entry[1] = written;
        next++;
        Volatile.Write(ref *(ushort*)(used + 2), next);
    }

    /// <summary>Whether the driver wants an interrupt for what was completed since the last one.</summary>
    public bool TakeInterrupt()
    {
        if (signalled == next)
            return false;
        var before = signalled;
        signalled = next;
        // The used index must be visible before the driver's wish is read.
        Interlocked.MemoryBarrier();
        if (!eventIndex)
            return (Volatile.Read(ref *(ushort*)available) & NoInterrupt) == 0;
        var wanted = Volatile.Read(ref *(ushort*)(available + 4 + (2 * size)));
        return (ushort)(next - wanted - 1) < (ushort)(next - before);
    }

    /// <summary>Asks for a kick at the next chain; true when one has come meanwhile and there will be no kick for it.</summary>
    public bool EnableKicks()
    {
        if (eventIndex)
            Volatile.Write(ref *(ushort*)(used + 4 + (8 * size)), next);
        else
            Volatile.Write(ref *(ushort*)used, 0);
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref *(ushort*)(available + 2)) != next;
    }

    /// <summary>Says that kicks are of no use now. With event indices the last wish simply stays in the past.</summary>
    public void DisableKicks()
    {
        if (!eventIndex)
            Volatile.Write(ref *(ushort*)used, NoNotify);
    }

    private void Walk(Descriptor* table, uint count, uint index, bool inTable)
    {
        for (var steps = 0; ; steps++)
        {
            if (index >= count || steps >= count)
                throw Broken(index >= count ? $"descriptor {index} of {count}" : "descriptors form a loop");
            var descriptor = Copy(table + index);
            if ((descriptor.Flags & DescriptorIndirect) != 0)
            {
                if (!indirect || inTable || (descriptor.Flags & (DescriptorNext | DescriptorWrite)) != 0)
                    throw Broken("indirect descriptor out of place");
                WalkTable(descriptor);
                return;
            }

            Add(descriptor);
            if ((descriptor.Flags & DescriptorNext) == 0)
                return;
            index = descriptor.Next;
        }
    }

    private void WalkTable(in Descriptor descriptor)
    {
        var count = descriptor.Length / 16;
        if (descriptor.Length % 16 != 0 || count is 0 or > VectorList.Capacity)
            throw Broken($"indirect table of {descriptor.Length} bytes");
        var table = memory.AtGuestAddress(descriptor.Address, descriptor.Length);
        if (table is null)
            throw Broken($"indirect table at 0x{descriptor.Address:x} is outside of memory");
        Walk((Descriptor*)table, count, 0, inTable: true);
    }

    private void Add(in Descriptor descriptor)
    {
        var write = (descriptor.Flags & DescriptorWrite) != 0;
        if (!write && Writable.Bytes > 0)
            throw Broken("a readable descriptor follows a writable one");
        if (descriptor.Length == 0)
            return;
        // SAFETY: the list only ever gets ranges that lie in the guest's memory.
        var address = memory.AtGuestAddress(descriptor.Address, descriptor.Length);
        if (address is null)
            throw Broken($"{descriptor.Length} bytes at 0x{descriptor.Address:x} are outside of memory");
        if (!(write ? Writable : Readable).TryAdd(address, descriptor.Length))
            throw Broken("chain is too long");
    }

    /// <summary>One copy, field by field, that the compiler may not repeat.</summary>
    private static Descriptor Copy(Descriptor* source) => new()
    {
        Address = Volatile.Read(ref source->Address),
        Length = Volatile.Read(ref source->Length),
        Flags = Volatile.Read(ref source->Flags),
        Next = Volatile.Read(ref source->Next),
    };

    private byte* Part(ulong address, ulong alignment, ulong length)
    {
        var pointer = memory.AtUserAddress(address, length);
        // An unaligned table may come from the guest; on x86-64 it would only be slow, elsewhere it would fault.
        if (pointer is null || (ulong)pointer % alignment != 0)
            throw Broken($"ring part of {length} bytes at 0x{address:x} is outside of memory or unaligned");
        return pointer;
    }

    private VsockProtocolException Broken(string what) => new($"vsock {name} queue: {what}");

    [StructLayout(LayoutKind.Sequential)]
    private struct Descriptor
    {
        public ulong Address;
        public uint Length;
        public ushort Flags;
        public ushort Next;
    }
}
