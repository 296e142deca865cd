namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_madvise = 28, MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23;
    internal const int SYS_userfaultfd = 323, UFFD_USER_MODE_ONLY = 1;
    internal const ulong UFFD_API = 0xaa, UFFDIO_API = 0xc018aa3f, UFFDIO_REGISTER = 0xc020aa00, UFFDIO_REGISTER_MODE_WP = 2;
    internal const ulong UFFD_FEATURE_PAGEFAULT_FLAG_WP = 1, UFFD_FEATURE_WP_UNPOPULATED = 1 << 13, UFFD_FEATURE_WP_ASYNC = 1 << 15;
}

/// <summary>Which pages a process has at a time, in runs: what it shares or wrote, and what it only looked at of files.</summary>
public sealed class WorkingSet
{
    /// <summary>So many runs at most; small gaps between them are then filled.</summary>
    private const int MostRuns = 1500;

    // Each process has them at another place.
    private static readonly string[] _elsewhere = [.. ProcessImage.KernelAreas, "[vsyscall]", "[stack]"];

    public static WorkingSet Empty { get; } = new();

    private WorkingSet()
    {
    }

    internal List<(ulong Start, ulong Length)> Read { get; } = [];

    internal List<(ulong Start, ulong Length)> Written { get; } = [];

    /// <summary>By /proc/PID/pagemap.</summary>
    /// <exception cref="IOException">The process is gone.</exception>
    public static WorkingSet Of(int pid)
    {
        var set = new WorkingSet();
        using var pages = new PageMap(pid);
        foreach (var area in MemoryArea.Of(pid).Where(area => area.Protection != 0 && !_elsewhere.Contains(area.Path)))
        {
            var place = area.Start;
            foreach (var page in pages.Of(area))
            {
                if (page.Present)
                    PageRuns.Add(area.Shared || page.Own ? set.Written : set.Read, place);
                place += PageMap.PageSize;
            }
        }
        for (var gap = 1ul; set.Read.Count + set.Written.Count > MostRuns; gap *= 2)
        {
            PageRuns.Merge(set.Read, gap * PageMap.PageSize);
            PageRuns.Merge(set.Written, gap * PageMap.PageSize);
        }
        return set;
    }
}
