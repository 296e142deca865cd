using KataLike.Linux;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Tests.Hypervisor;

public class BoundedLogTests
{
    [Fact]
    public async Task AFloodFillsNeitherDiskNorMemoryAndItsEndIsKept()
    {
        var path = Path.GetTempFileName();
        try
        {
            using var log = new BoundedLog(path);
            using (log.ChildEnd)
                await Task.Run(() =>
                {
                    var line = new byte[1000];
                    Array.Fill(line, (byte)'x');
                    for (var i = 0; i < 3000; i++)
                        Assert.Equal(line.Length, Files.Write(log.ChildEnd, line));
                    Files.Write(log.ChildEnd, "the\e end\n"u8);
                });
            await log.Ended;

            Assert.Equal(BoundedLog.FileLimit, new FileInfo(path).Length);
            Assert.Equal(BoundedLog.TailLimit - 1, log.Tail.Length);
            Assert.EndsWith("xthe end\n", log.Tail, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void AFailureCarriesTheLastLines()
    {
        var error = new VmException("the machine did not start", "qemu says\n", string.Concat(Enumerable.Range(1, 50).Select(i => $"line {i}\n")));
        Assert.StartsWith("the machine did not start\nqemu: qemu says\nconsole: line 39\n", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("console: line 50", error.Message, StringComparison.Ordinal);
    }
}
