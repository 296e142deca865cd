using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Tests.Storage;

public class LayeredMountTests
{
    private static readonly (string, string)[] Before = [("/a.erofs", "/m/0"), ("/b.erofs", "/m/1"), ("/rw.img", "/m/2")];

    [Fact]
    public void TemplatesNameTheMountsBefore()
    {
        var (mount, directories) = LayeredMount.Resolve(new RootfsMount("format/mkdir/overlay", "{{ source 2 }}",
            [
                "X-containerd.mkdir.path={{ mount 2 }}/upper:0755:1000:1001", "X-containerd.mkdir.path={{mount 2}}/work",
                "upperdir={{ mount 2 }}/upper", "lowerdir={{ overlay 1 0 }}", "other={{ overlay 0 2 }}:{{ target 1 }}", "noatime",
            ]), Before);
        Assert.Equal(("overlay", "/rw.img"), (mount.Type, mount.Source));
        Assert.Equal(["upperdir=/m/2/upper", "lowerdir=/m/1:/m/0", "other=/m/0:/m/1:/m/2:/m/1", "noatime"], mount.Options);
        Assert.Equal(
            [new NewDirectory("/m/2/upper", (UnixFileMode)0x1ed, (1000, 1001)), new NewDirectory("/m/2/work", (UnixFileMode)0x1c0, null)], directories);
    }

    [Fact]
    public void WithoutATransformationNothingChanges()
    {
        RootfsMount mount = new("overlay", "{{ mount 0 }}", ["X-containerd.mkdir.path=/x"]);
        var resolved = LayeredMount.Resolve(mount, []);
        Assert.Equal((mount.Source, mount.Options[0], 0), (resolved.Mount.Source, resolved.Mount.Options[0], resolved.Directories.Count));
    }

    [Theory]
    [InlineData("mkfs/ext4", "/x", "mkfs")]
    [InlineData("format/overlay", "{{ mount 3 }}", "{{ mount 3 }}")]
    [InlineData("format/overlay", "{{ mount -1 }}", "{{ mount -1 }}")]
    [InlineData("format/overlay", "{{ mount 0", "{{ mount 0")]
    [InlineData("format/overlay", "{{ exec 0 }}", "{{ exec 0 }}")]
    [InlineData("mkdir/overlay", "X-containerd.mkdir.path=/x:9", ":9")]
    [InlineData("mkdir/overlay", "X-containerd.mkdir.path=/x:0755:1", "0755:1")]
    [InlineData("mkdir/overlay", "X-containerd.mkdir.mode=1", "mkdir.mode")]
    public void WhatIsNotUnderstoodIsNamed(string type, string option, string named) => Assert.Contains(
        named, Assert.Throws<RuntimeException>(() => LayeredMount.Resolve(new RootfsMount(type, "", [option]), Before)).Message, StringComparison.Ordinal);
}
