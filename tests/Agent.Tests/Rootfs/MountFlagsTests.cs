using KataLike.Agent.Containers;
using KataLike.Agent.Rootfs;
using KataLike.Linux;
using static KataLike.Linux.MountAttributes;

namespace KataLike.Agent.Tests.Rootfs;

public class MountFlagsTests
{
    private static MountFlags Parse(params string[] options) => MountFlags.Parse(options, "mounts[0] (/x)");

    [Fact]
    public void OptionsAreSorted()
    {
        var flags = Parse("rbind", "ro", "nosuid", "nodev", "noexec", "noatime", "rslave", "rro");
        Assert.True(flags.Bind && flags.Recursive && flags.RecursivePropagation);
        Assert.Equal(ReadOnly | NoSetUserId | NoDevices | NoExecution | NoAccessTime, flags.Set);
        Assert.Equal(AccessTime, flags.Clear);
        Assert.Equal(ReadOnly, flags.RecursiveSet);
        Assert.Equal(MountPropagation.Slave, flags.Propagation);
        Assert.Empty(flags.Data);
    }

    [Fact]
    public void WhatIsNoFlagIsTheFileSystems()
    {
        var flags = Parse("nosuid", "strictatime", "mode=755", "size=65536k", "newinstance", "sync", "defaults", "context=a=b");
        Assert.Equal([new("mode", "755"), new("size", "65536k"), new("newinstance"), new("sync"), new("context", "a=b")], flags.Data);
        Assert.Equal(NoSetUserId | StrictAccessTime, flags.Set);
    }

    [Fact]
    public void LaterOptionsOverrideEarlierOnes()
    {
        Assert.Equal((None, ReadOnly), (Parse("ro", "rw").Set, Parse("ro", "rw").Clear));
        Assert.Equal((ReadOnly, None), (Parse("rw", "ro").Set, Parse("rw", "ro").Clear));
        Assert.Equal((None, AccessTime), (Parse("noatime", "relatime").Set, Parse("noatime", "relatime").Clear));
        Assert.Equal(MountPropagation.Private, Parse("shared", "rprivate").Propagation);
    }

    [Fact]
    public void WhatCannotBeDoneIsRefused() => Assert.Equal(
        "mounts[0] (/x): option remount is not supported", Assert.Throws<ContainerException>(() => Parse("bind", "remount")).Message);

    [Theory]
    [InlineData("root:x:0:0:root:/root:/bin/sh\nu:x:5:5::/home/u:", 5u, "/home/u")]
    [InlineData("u:x:5:5::/first:\nv:x:5:5::/second:", 5u, "/first")]
    [InlineData("u:x:5:5:::", 5u, "/")]
    [InlineData("garbage\n::::\nu:x:-1:5::/x:", 5u, "/")]
    [InlineData("", 0u, "/")]
    public void HomeIsThatOfTheUser(string content, uint user, string home) => Assert.Equal(home, PasswordFile.Home(content, user));
}
