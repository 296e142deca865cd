namespace KataLike.Linux.Tests;

public class ProgramMemoryTests
{
    [Fact]
    public void Pages_of_programs_that_are_let_go_of_are_gone_until_they_are_used()
    {
        var areas = MemoryArea.Of(Environment.ProcessId).Where(area => area is { Shared: false, Inode: not 0 } && (area.Protection & Libc.PROT_WRITE) == 0).ToList();
        var before = Present();
        ProgramMemory.Find().Release();
        Assert.InRange(Present(), 1, before * 3 / 4);

        int Present()
        {
            using var pages = new PageMap(Environment.ProcessId);
            return areas.Sum(area => pages.Of(area).Count(page => page.Present));
        }
    }
}
