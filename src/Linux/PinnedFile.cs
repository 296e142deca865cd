namespace KataLike.Linux;

/// <summary>A file in memory whose pages stay where they are: a pipe has them, too, and what has two owners is not moved.</summary>
public sealed class PinnedFile : IDisposable
{
    private readonly (FileDescriptor Read, FileDescriptor Write) _pipe;

    private PinnedFile((FileDescriptor, FileDescriptor) pipe, List<(ulong Start, ulong Length)> ranges) => (_pipe, Ranges) = (pipe, ranges);

    /// <summary>Where they are: physical addresses, in rising order. Empty for who may not know (CAP_SYS_ADMIN).</summary>
    public IReadOnlyList<(ulong Start, ulong Length)> Ranges { get; }

    /// <exception cref="LinuxException">There is no such file, or no memory.</exception>
    public static PinnedFile Pin(string path)
    {
        using var file = Files.Open(path, Files.ReadOnly);
        var size = Files.Status(file).Size;
        var pipe = Splicing.Pipe((int)Math.Min(size, int.MaxValue));
        try
        {
            var pinned = 0ul;
            while (pinned < size && Splicing.TrySplice(file, pipe.Write, (int)Math.Min(size - pinned, int.MaxValue)) is > 0 and var count)
                pinned += (ulong)count;
            return new PinnedFile(pipe, pinned == 0 ? [] : Find(file, pinned));
        }
        catch
        {
            pipe.Read.Dispose();
            pipe.Write.Dispose();
            throw;
        }
    }

    private static List<(ulong Start, ulong Length)> Find(FileDescriptor file, ulong length)
    {
        using var memory = MappedMemory.Read(file, length);
        // A page that was looked at is in the page table.
        for (var place = 0ul; place < length; place += PageMap.PageSize)
            _ = Volatile.Read(in memory.Slice(place, 1)[0]);
        using var pages = new PageMap(Environment.ProcessId);
        var ranges = new List<(ulong Start, ulong Length)>();
        unsafe
        {
            var frames = pages.Of((ulong)memory.Pointer, length).Where(page => page is { Present: true, Frame: > 0 }).Select(page => page.Frame);
            foreach (var frame in frames.Order())
                PageRuns.Add(ranges, frame * PageMap.PageSize);
        }
        return ranges;
    }

    public void Dispose()
    {
        _pipe.Read.Dispose();
        _pipe.Write.Dispose();
    }
}
