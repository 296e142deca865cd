using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>/proc/PID/pagemap: what the pages of a process are.</summary>
internal sealed class PageMap(int pid) : IDisposable
{
    public const int PageSize = 4096;

    private readonly FileDescriptor _file = Files.Open($"/proc/{pid}/pagemap", Files.ReadOnly);

    public readonly struct Entry(ulong bits)
    {
        private readonly ulong _bits = bits;

        public bool Present => (_bits & 1ul << 63) != 0;

        /// <summary>The process's own, in memory or swapped out, and no longer or never a file's.</summary>
        public bool Own => (_bits & 3ul << 62) != 0 && (_bits & 1ul << 61) == 0;

        /// <summary>Where a page is that is present: its number in the machine's memory. 0 for who may not know.</summary>
        public ulong Frame => _bits & (1ul << 55) - 1;
    }

    /// <summary>One for each page.</summary>
    public Entry[] Of(MemoryArea area) => Of(area.Start, area.Length);

    /// <param name="start">Of a page.</param>
    /// <param name="length">Bytes; the last page may be part of one.</param>
    public Entry[] Of(ulong start, ulong length)
    {
        var entries = new Entry[(length + PageSize - 1) / PageSize];
        Files.ReadAt(_file, (long)(start / PageSize * sizeof(ulong)), MemoryMarshal.AsBytes(entries.AsSpan()));
        return entries;
    }

    public void Dispose() => _file.Dispose();
}
