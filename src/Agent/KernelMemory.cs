using System.Globalization;
using KataLike.Contract.Agent;

namespace KataLike.Agent;

/// <summary>Where the kernel has what it never moves and never gives to a device, by /proc/iomem.</summary>
internal static class KernelMemory
{
    private const ulong PageSize = 4096;

    // The last one is named by our own kernel only (src/GuestKernel/changes).
    private static readonly string[] _names = ["Kernel code", "Kernel rodata", "Kernel page structures"];

    public static IEnumerable<MemoryRange> Fixed() => Parse(File.ReadLines("/proc/iomem"));

    /// <summary>Whole pages only: the rest of a page may be somebody else's.</summary>
    internal static IEnumerable<MemoryRange> Parse(IEnumerable<string> lines)
    {
        foreach (var line in lines)
        {
            if (line.Split(" : ") is not [var range, var name] || !_names.Contains(name) || range.Trim().Split('-') is not [var first, var last])
                continue;
            var start = (Hexadecimal(first) + PageSize - 1) / PageSize * PageSize;
            var end = (Hexadecimal(last) + 1) / PageSize * PageSize;
            if (start < end)
                yield return new MemoryRange { Start = start, Length = end - start };
        }
    }

    private static ulong Hexadecimal(string number) => ulong.Parse(number, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
