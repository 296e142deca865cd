using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Vsock;

/// <summary>The ring against a hand-made driver, an honest one and a hostile one.</summary>
public sealed unsafe class VirtqueueTests : IDisposable
{
    private const ulong Base = 0x10_0000, User = 0x7000_0000_0000, Size = 1 << 20;
    private const ushort Next = 1, Write = 2, Indirect = 4;

    private readonly FileDescriptor file = Memory.CreateFile("ring", Size);
    private readonly MappedMemory driver;
    private readonly GuestMemory memory;
    private readonly Virtqueue queue;

    public VirtqueueTests()
    {
        driver = MappedMemory.Share(file, Size);
        memory = new GuestMemory([new MemoryRegion(Base, Size, User, 0)], [file]);
        queue = new Virtqueue(
            "test", memory, 8, new RingAddresses(User, User + 0x1000, User + 0x2000), 0, eventIndex: true, indirect: true);
    }

    [Fact]
    public void Chains_of_several_descriptors_and_tables_are_followed()
    {
        Encoding.ASCII.GetBytes("hello world").CopyTo(new Span<byte>(driver.Pointer + 0x4000, 11));
        Describe(0, Base + 0x4000, 6, Next, 3);
        Describe(3, Base + 0x4006, 5, Next, 5);
        Describe(5, Base + 0x5000, 100, Write, 0);
        Offer(0);
        Assert.True(queue.TryPeek());
        var bytes = new byte[11];
        Assert.Equal(11, queue.Readable.CopyTo(bytes));
        Assert.Equal("hello world", Encoding.ASCII.GetString(bytes));
        Assert.Equal(100UL, queue.Writable.Bytes);
        // Looked at but not completed: offered again.
        Assert.True(queue.TryPeek());
        queue.Complete(42);
        Assert.Equal((0u, 42u), (((uint*)(driver.Pointer + 0x2004))[0], ((uint*)(driver.Pointer + 0x2004))[1]));
        Assert.Equal(1, ((ushort*)(driver.Pointer + 0x2000))[1]);
        Assert.False(queue.TryPeek());

        var table = (ulong*)(driver.Pointer + 0x6000);
        (table[0], table[1]) = (Base + 0x4000, 5UL | ((ulong)Next << 32) | (1UL << 48));
        (table[2], table[3]) = (Base + 0x4005, 6UL);
        Describe(1, Base + 0x6000, 32, Indirect, 0);
        Offer(1);
        Assert.True(queue.TryPeek());
        Assert.Equal(11UL, queue.Readable.Bytes);
    }

    [Fact]
    public void Interrupts_and_kicks_follow_the_event_indices()
    {
        Describe(0, Base, 4, 0, 0);
        for (var i = 0; i < 3; i++)
            Offer(0);
        ((ushort*)(driver.Pointer + 0x1000))[2 + 8] = 1;
        Assert.True(queue.TryPeek());
        queue.Complete(0);
        Assert.False(queue.TakeInterrupt());
        Assert.True(queue.TryPeek());
        queue.Complete(0);
        Assert.True(queue.TakeInterrupt());
        Assert.False(queue.TakeInterrupt());
        Assert.True(queue.EnableKicks());
        Assert.True(queue.TryPeek());
        queue.Complete(0);
        Assert.False(queue.EnableKicks());
        Assert.Equal(3, *(ushort*)(driver.Pointer + 0x2004 + 64));
    }

    [Theory]
    [InlineData(Base - 1, 4, 0, 0)]
    [InlineData(Base + Size - 3, 4, 0, 0)]
    [InlineData(ulong.MaxValue - 1, 4, 0, 0)]
    [InlineData(Base + 1, uint.MaxValue, 0, 0)]
    [InlineData(0xffff_ffff_0000_0000, uint.MaxValue, 0, 0)]
    [InlineData(Base, 4, Next, 0)]
    [InlineData(Base, 4, Next, 8)]
    [InlineData(Base, 4, Next, 0xffff)]
    [InlineData(Base + 0x6000, 24, Indirect, 0)]
    [InlineData(Base + 0x6000, 0, Indirect, 0)]
    [InlineData(Base + Size - 16, 32, Indirect, 0)]
    [InlineData(Base + 0x6000, 0xffff_fff0, Indirect, 0)]
    [InlineData(Base + 0x6000, 16, Indirect | Write, 0)]
    [InlineData(Base, 16, Indirect, 0)]
    public void Malicious_chain_breaks_the_queue_and_nothing_else(ulong address, uint length, ushort flags, ushort next)
    {
        Describe(0, address, length, flags, next);
        Offer(0);
        Assert.Throws<VsockProtocolException>(() => queue.TryPeek());
    }

    [Fact]
    public void Available_index_beyond_the_ring_breaks_the_queue()
    {
        ((ushort*)(driver.Pointer + 0x1000))[1] = 9;
        Assert.Throws<VsockProtocolException>(() => queue.TryPeek());
    }

    [Fact]
    public void Random_rings_do_no_harm()
    {
        var random = new Random(20);
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = new byte[256];
            random.NextBytes(bytes);
            VsockFuzz.Chain(bytes, memory, driver);
        }
    }

    public void Dispose()
    {
        memory.Dispose();
        driver.Dispose();
        file.Dispose();
    }

    private void Describe(int index, ulong address, uint length, ushort flags, ushort next)
    {
        var descriptor = driver.Pointer + (index * 16);
        *(ulong*)descriptor = address;
        *(uint*)(descriptor + 8) = length;
        *(ushort*)(descriptor + 12) = flags;
        *(ushort*)(descriptor + 14) = next;
    }

    private void Offer(ushort head)
    {
        var available = (ushort*)(driver.Pointer + 0x1000);
        available[2 + (available[1] % 8)] = head;
        available[1]++;
    }
}
