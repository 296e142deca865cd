namespace KataLike.Linux.Tests;

public class FileDescriptorTests
{
    [Fact]
    public void OneThatWasClosedNamesNoOtherFile()
    {
        var closed = Files.Open("/", Files.ReadOnly | Files.Directory);
        var number = closed.Number;
        closed.Dispose();
        using var next = Files.Open("/", Files.ReadOnly | Files.Directory);
        Assert.True(number >= 0);
        Assert.Equal(-1, closed.Number);
        Assert.Equal(Errno.EBADF, Assert.Throws<LinuxException>(closed.Duplicate).Errno);
    }
}
