using static KataLike.Linux.MountAttributes;

namespace KataLike.Linux.Tests;

public class MountFlagsTests
{
    private static MountFlags Parse(params string[] options) => MountFlags.Parse(options);

    [Fact]
    public void OptionsAreSorted()
    {
        var flags = Parse("rbind", "ro", "nosuid", "nodev", "noexec", "noatime", "rslave", "rro");
        Assert.True(flags.Bind && flags.Recursive);
        Assert.Equal(ReadOnly | NoSetUserId | NoDevices | NoExecution | NoAccessTime, flags.Set);
        Assert.Equal(AccessTime, flags.Clear);
        Assert.Equal(ReadOnly, flags.RecursiveSet);
        Assert.Equal([new Propagation(MountPropagation.Slave, Recursive: true)], flags.Propagation);
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
        Assert.Equal((NoAccessTime, AccessTime), (Parse("noatime", "relatime").Set, Parse("noatime", "relatime").Clear));
        Assert.Equal((None, AccessTime), (Parse("noatime", "atime").Set, Parse("noatime", "atime").Clear));
        Assert.Equal(StrictAccessTime, Parse("strictatime", "noatime").Set);
        Assert.Equal([new(MountPropagation.Slave, false), new(MountPropagation.Shared, true)], Parse("slave", "rshared").Propagation);
    }

    [Fact]
    public void WhatIsNoAttributeIsToldApart()
    {
        var flags = Parse("bind", "remount", "ridmap", "tmpcopyup", "acl", "silent");
        Assert.True(flags is { Bind: true, Recursive: false, Remount: true, MapIds: true, MapIdsRecursively: true, CopyUp: true, Data.Count: 0 });
        Assert.False(Parse("idmap").MapIdsRecursively);
    }

    [Fact]
    public void EveryNameIsKnown()
    {
        Assert.All(MountFlags.Names.Except(["sync", "dirsync", "lazytime"]), name => Assert.Empty(Parse(name).Data));
        Assert.Equal(64, MountFlags.Names.Count);
        Assert.Equal(MountFlags.Names.Distinct(), MountFlags.Names);
    }
}
