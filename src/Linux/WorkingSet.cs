using System.Runtime.InteropServices;

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
    private const int PageSize = 4096;

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
        const ulong present = 1ul << 63, ofFile = 1ul << 61;
        var set = new WorkingSet();
        using var pages = Files.Open($"/proc/{pid}/pagemap", Files.ReadOnly);
        foreach (var area in MemoryArea.Of(pid).Where(area => area.Protection != 0 && !_elsewhere.Contains(area.Path)))
        {
            var entries = new ulong[area.Length / PageSize];
            Files.ReadAt(pages, (long)(area.Start / PageSize * sizeof(ulong)), MemoryMarshal.AsBytes(entries.AsSpan()));
            for (var i = 0; i < entries.Length; i++)
            {
                if ((entries[i] & present) != 0)
                    Add(area.Shared || (entries[i] & ofFile) == 0 ? set.Written : set.Read, area.Start + (ulong)i * PageSize);
            }
        }
        for (var gap = 1ul; set.Read.Count + set.Written.Count > MostRuns; gap *= 2)
        {
            Merge(set.Read, gap * PageSize);
            Merge(set.Written, gap * PageSize);
        }
        return set;
    }

    /// <summary>Fills gaps between runs that are in rising order.</summary>
    /// <param name="gap">The largest that is filled, bytes.</param>
    internal static void Merge(List<(ulong Start, ulong Length)> runs, ulong gap)
    {
        for (var i = runs.Count - 1; i > 0; i--)
        {
            var (before, run) = (runs[i - 1], runs[i]);
            if (run.Start - before.Start - before.Length > gap)
                continue;
            runs[i - 1] = (before.Start, run.Start + run.Length - before.Start);
            runs.RemoveAt(i);
        }
    }

    private static void Add(List<(ulong Start, ulong Length)> runs, ulong page)
    {
        if (runs.Count > 0 && runs[^1] is var last && last.Start + last.Length == page)
            runs[^1] = (last.Start, last.Length + PageSize);
        else
            runs.Add((page, PageSize));
    }
}
