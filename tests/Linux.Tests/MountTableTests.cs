namespace KataLike.Linux.Tests;

public class MountTableTests
{
    private const string Text = """
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
        30 22 0:40 / /var/lib/a\040b\134c rw shared:2 master:1 - tmpfs tmpfs rw,size=1024k,inode64
        31 22 0:40 /sub /part rw - tmpfs tmpfs rw,size=1024k
        32 31 0:41 / /part rw - tmpfs tmpfs rw
        broken

        """;

    [Theory]
    [InlineData("/etc", "/", "ext4", 0)]
    [InlineData("/var/lib/a b\\c/x", "/var/lib/a b\\c", "tmpfs", 1 << 20)]
    [InlineData("/part", "/part", "tmpfs", 0)]
    [InlineData("/partial", "/", "ext4", 0)]
    public void TheHighestMountAboveAPathCounts(string path, string place, string type, ulong size)
    {
        var mount = MountTable.Parse(Text).Of(path)!;
        Assert.Equal((place, type, size), (mount.Place, mount.Type, MountTable.SizeOf(mount)));
    }

    [Fact]
    public void EveryMountOfThisProcessIsRead() =>
        Assert.Equal(File.ReadAllLines("/proc/self/mountinfo").Length, MountTable.Read().Entries.Count);
}
