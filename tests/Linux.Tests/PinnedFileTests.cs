namespace KataLike.Linux.Tests;

public class PinnedFileTests
{
    [SkippableFact]
    public void All_pages_are_told_in_rising_order_and_stay_where_they_are()
    {
        const int page = 4096, pages = 37;
        using var file = Memory.CreateFile("pinned", 0);
        Files.WriteAt(file, 0, Enumerable.Range(0, pages * page - 100).Select(i => (byte)(i / page + 1)).ToArray());
        using var pinned = PinnedFile.Pin($"/proc/self/fd/{file.Number}");
        Skip.If(pinned.Ranges.Count == 0, "needs CAP_SYS_ADMIN, to learn of frames");
        Assert.Equal((ulong)pages * page, pinned.Ranges.Aggregate(0ul, (sum, range) => sum + range.Length));
        Assert.Equal(pinned.Ranges.OrderBy(range => range.Start), pinned.Ranges);
        using var again = PinnedFile.Pin($"/proc/self/fd/{file.Number}");
        Assert.Equal(pinned.Ranges, again.Ranges);
    }
}
