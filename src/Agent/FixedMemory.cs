using System.Globalization;
using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>What of this machine's memory stays where it is and is given to no device: parts of the kernel, by /proc/iomem, and the agent's program.</summary>
internal static class FixedMemory
{
    /// <summary>A range is a mapping of each copy's: smaller ones are not worth it, bytes.</summary>
    private const ulong Smallest = 16 * PageSize;

    private const ulong PageSize = 4096;

    // The last one is named by our own kernel only (src/GuestKernel/changes).
    private static readonly string[] _names = ["Kernel code", "Kernel rodata", "Kernel page structures"];

    // For as long as the agent runs.
    private static readonly Lazy<PinnedFile> _program = new(() => PinnedFile.Pin("/proc/self/exe"));

    /// <summary>In rising order.</summary>
    public static IEnumerable<MemoryRange> Ranges() =>
        Parse(File.ReadLines("/proc/iomem"))
            .Concat(_program.Value.Ranges.Select(range => new MemoryRange { Start = range.Start, Length = range.Length }))
            .Where(range => range.Length >= Smallest).OrderBy(range => range.Start);

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
