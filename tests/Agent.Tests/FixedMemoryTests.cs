namespace KataLike.Agent.Tests;

public sealed class FixedMemoryTests
{
    [Fact]
    public void OnlyWholePagesOfWhatStaysInItsPlace()
    {
        var ranges = FixedMemory.Parse(
        [
            "00000000-00000fff : Reserved",
            "00100000-1fffffff : System RAM",
            "  01000000-0199a123 : Kernel code",
            "  01a00800-01b87fff : Kernel rodata",
            "  01c00000-01c9d8ff : Kernel data",
            "  01d00001-01d01ffe : Kernel code",
            "  1f200000-1f9fffff : Kernel page structures",
            "fee00000-fee00fff : Local APIC",
        ]);
        Assert.Equal([(0x1000000UL, 0x99a000UL), (0x1a01000, 0x187000), (0x1f200000, 0x800000)], ranges.Select(range => (range.Start, range.Length)));
    }
}
