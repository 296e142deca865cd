namespace KataLike.Linux;

/// <summary>Pages that follow each other, by the address of the first and their length in bytes; lists of them are in rising order.</summary>
internal static class PageRuns
{
    /// <summary>Adds a page that is behind all others.</summary>
    public static void Add(List<(ulong Start, ulong Length)> runs, ulong page)
    {
        if (runs.Count > 0 && runs[^1] is var last && last.Start + last.Length == page)
            runs[^1] = (last.Start, last.Length + PageMap.PageSize);
        else
            runs.Add((page, PageMap.PageSize));
    }

    /// <summary>Fills gaps.</summary>
    /// <param name="gap">The largest that is filled, bytes.</param>
    public static void Merge(List<(ulong Start, ulong Length)> runs, ulong gap)
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
}
