using KataLike.Agent.Containers;
using KataLike.Agent.Tests.Containers;
using KataLike.Contract.Oci;

namespace KataLike.Agent.Tests.Rootfs;

/// <summary>Mounts of real containers, looked at from inside.</summary>
public class MountTests(ContainerFixture fixture) : IClassFixture<ContainerFixture>
{
    private static Mount Tmpfs(string destination, params string[] options) =>
        new() { Destination = destination, Type = "tmpfs", Source = "tmpfs", Options = options };

    private static Mount Bind(string destination, params string[] options) =>
        new() { Destination = destination, Source = "/given", Options = ["bind", .. options] };

    /// <param name="source">Of every bind mount, in the guest.</param>
    private string Run(string script, Action<string>? prepare, string source, params Mount[] mounts)
    {
        Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);
        var spec = ContainerFixture.SpecOf(script);
        spec = spec with { Mounts = [.. spec.Mounts!, .. mounts] };
        var request = fixture.Request(spec, fixture.MakeRootfs(prepare));
        var sources = spec.Mounts.Select((mount, index) => (mount, index)).Where(entry => entry.mount.Options?.Contains("bind") == true);
        return fixture.Run(request with { MountSources = sources.ToDictionary(entry => entry.index, _ => source) }).Output;
    }

    private string Failure(string source, params Mount[] mounts) =>
        Assert.Throws<ContainerException>(() => Run("true", null, source, mounts)).Message;

    private string MakeShared(string name)
    {
        var directory = Directory.CreateDirectory($"{fixture.Directory}/{name}").FullName;
        File.WriteAllText($"{directory}/file", "content\n");
        return directory;
    }

    [SkippableFact]
    public void RemountingChangesWhatIsThere()
    {
        var output = Run(
            "touch /a/x 2>&1; grep -E ' /(a|b) ' /proc/self/mounts | cut -d' ' -f2,4; touch /b/x 2>&1", null, fixture.Directory,
            Tmpfs("/a", "mode=700"), Bind("/a", "remount", "ro", "nosuid"), Tmpfs("/b", "size=64k", "noexec"), Tmpfs("/b", "remount", "size=8k"));
        Assert.Equal("touch: /a/x: Read-only file system\n/a ro,nosuid,relatime,mode=700\n/b rw,relatime,size=8k\n", output.Replace(",inode64", "", StringComparison.Ordinal));
    }

    [SkippableFact]
    public void PropagationIsSetInOrderAndRecursively()
    {
        var source = MakeShared("propagation");
        var spec = Run(
            "grep -E ' /(p|s|u|b) ' /proc/self/mountinfo | cut -d' ' -f5-7", null, source,
            Tmpfs("/p", "private"), Tmpfs("/s", "shared"), Tmpfs("/u", "runbindable"), Bind("/b", "rslave", "rshared"));
        Assert.Matches("""^/p rw,relatime -\n/s rw,relatime shared:\d+\n/u rw,relatime unbindable\n/b rw,relatime shared:\d+\n$""", spec);
    }

    [SkippableFact]
    public void RecursiveAttributesReachWhatIsBelow()
    {
        var output = Run(
            "grep -E ' /d(/shm|/pts)? ' /proc/self/mountinfo | cut -d' ' -f5,6 | grep -v ' ro,nosuid,nodev,noexec,noatime'; touch /d/shm/x 2>&1", null, "/dev",
            new Mount { Destination = "/d", Source = "/given", Options = ["bind", "rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime"] });
        Assert.Equal("touch: /d/shm/x: Read-only file system\n", output);
    }

    [SkippableFact]
    public void ATmpfsHasTheModeOfWhatItHidesUnlessItIsGivenOne() => Assert.Equal("711\n700\n1777\n", Run(
        "stat -c %a /kept /given /new", root =>
        {
            foreach (var name in new[] { "kept", "given" })
                File.SetUnixFileMode(Directory.CreateDirectory($"{root}/{name}").FullName, (UnixFileMode)0x1c9);
        }, "", Tmpfs("/kept"), Tmpfs("/given", "mode=700"), Tmpfs("/new")));

    [SkippableFact]
    public void OwnersOfAMountAreMapped()
    {
        IdMapping[] ids = [new() { ContainerId = 0, HostId = 1000, Size = 10 }];
        var source = MakeShared("owners");
        var output = Run(
            "stat -c %u:%g /t /b/file", null, source,
            Tmpfs("/t") with { UidMappings = ids, GidMappings = ids }, Bind("/b", "idmap") with { UidMappings = ids, GidMappings = ids });
        Assert.Equal("1000:1000\n1000:1000\n", output);
        Assert.Equal(
            "error mounting \"/given\" to rootfs at \"/b\": its file system cannot map ids: invalid argument",
            Failure("/sys", Bind("/b", "idmap") with { UidMappings = ids, GidMappings = ids }));
    }

    [SkippableFact]
    public void CopyingUpKeepsWhatIsNested()
    {
        var output = Run("cd /var; stat -c '%n %a %F' . a a/b a/b/f l; cat a/b/f", root =>
        {
            File.SetUnixFileMode(Directory.CreateDirectory($"{root}/var/a/b").Parent!.FullName, (UnixFileMode)0x5e8);
            File.WriteAllText($"{root}/var/a/b/f", "deep\n");
            File.SetUnixFileMode($"{root}/var/a/b/f", (UnixFileMode)0x9ed);
            File.CreateSymbolicLink($"{root}/var/l", "/nowhere");
        }, "", Tmpfs("/var", "tmpcopyup", "mode=755"));
        Assert.Equal(
            """
            . 755 directory
            a 2750 directory
            a/b 755 directory
            a/b/f 4755 regular file
            l 777 symbolic link
            deep

            """, output);
    }

    [SkippableFact]
    public void NothingIsMountedInsideProcOrOverTheRoot()
    {
        var source = MakeShared("proc");
        Assert.Equal("content\n", Run("cat /proc/uptime", null, $"{source}/file", Bind("/proc/uptime")));
        Assert.EndsWith("\"/proc/1\" cannot be mounted because it is inside /proc", Failure(source, Bind("/proc/self/../1")));
        Assert.EndsWith("\"/proc\" cannot be mounted because it is inside /proc", Failure(source, Bind("/proc")));
        Assert.EndsWith("the root of the container cannot be mounted over", Failure(source, Tmpfs("/.././")));
        Assert.EndsWith("mount /etc: not a directory", Failure($"{source}/file", Bind("/etc")));
        Assert.EndsWith("stat /given: no such file or directory", Failure($"{source}/missing", Bind("/x")));
    }

    [SkippableFact]
    public void TheTerminalMultiplexerIsAlwaysThatOfTheContainer()
    {
        Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);
        var spec = ContainerFixture.SpecOf("readlink /dev/ptmx");
        var rootfs = fixture.MakeRootfs(root => File.WriteAllText($"{root}/dev/ptmx", ""));
        spec = spec with
        {
            Mounts = [.. spec.Mounts!.Where(mount => mount.Destination == "/proc")],
            Linux = spec.Linux! with { Devices = [new Device { Path = "/dev/ptmx", Type = "c", Major = 1, Minor = 3 }] },
        };
        Assert.Equal("pts/ptmx\n", fixture.Run(spec, rootfs).Output);
    }
}
