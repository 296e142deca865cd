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
    }

    /// <summary>One for each page.</summary>
    public Entry[] Of(MemoryArea area)
    {
        var entries = new Entry[area.Length / PageSize];
        Files.ReadAt(_file, (long)(area.Start / PageSize * sizeof(ulong)), MemoryMarshal.AsBytes(entries.AsSpan()));
        return entries;
    }

    public void Dispose() => _file.Dispose();
}
