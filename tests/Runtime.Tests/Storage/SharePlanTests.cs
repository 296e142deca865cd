using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Tests.Storage;

public class SharePlanTests
{
    [Fact]
    public void TheRootOfTheBundleIsShared()
    {
        var plan = Plan();
        Assert.Equal([new HostShare("rootfs", "rootfs") { Bundle = "/b" }], plan.Shares);
        Assert.Equal("katalike/c1/rootfs", plan.Overlay.Rootfs);
        Assert.Empty(plan.Overlay.Mounts);
    }

    [Fact]
    public void ContainerdsMountsComeInstead()
    {
        RootfsMount mount = new("overlay", "overlay", ["lowerdir=/a"]);
        var plan = SharePlan.From(Spec(), "c1", "/b", [mount]);
        Assert.Empty(plan.Shares);
        Assert.Equal([new HostFileSystem("rootfs", mount)], plan.FileSystems);
    }

    [Fact]
    public void LayersComeBeforeWhatIsMadeOfThem()
    {
        RootfsMount[] mounts = [new("erofs", "/1.erofs", ["ro", "loop"]), new("ext4", "/rw.img", ["loop"]), new("format/mkdir/overlay", "overlay", [])];
        Assert.Equal([("rootfs.0", true), ("rootfs.1", true), ("rootfs", false)],
            SharePlan.From(Spec(), "c1", "/b", mounts).FileSystems.Select(fileSystem => (fileSystem.Name, fileSystem.IsLayer)));
    }

    [Fact]
    public void BindMountsOfFilesAreSharedWithTheirOptions()
    {
        var plan = Plan(
            Mount("/proc", "proc", "proc"),
            Mount("/data", "bind", "/srv/data", "rbind", "ro"),
            Mount("/etc/hosts", "none", "hosts", "bind"),
            Mount("/shared", "bind", "/srv/../srv/shared", "rbind", "rslave"));

        Assert.Equal(
            [
                new HostShare("/srv/data", "1") { Destination = "/data", ReadOnly = true },
                new HostShare("/b/hosts", "2") { Destination = "/etc/hosts", Recursive = false, IsCommon = true },
                new HostShare("/srv/shared", "3") { Destination = "/shared", Propagation = MountPropagation.Slave, IsCommon = true },
            ],
            plan.Shares.Skip(1));
        Assert.Equal(
            [
                new MountSource { Index = 1, Shared = "katalike/c1/1" },
                new MountSource { Index = 2, Shared = "katalike/c1/2" },
                new MountSource { Index = 3, Shared = "katalike/c1/3" },
            ],
            plan.Overlay.Mounts);
    }

    [Theory]
    [InlineData("/dev/null", false)]
    [InlineData("/proc/sys", false)]
    [InlineData("/sys/fs/cgroup", false)]
    [InlineData("/dev/shm/podman/x", true)]
    [InlineData("/devices", true)]
    [InlineData("/srv/../dev/null", false)]
    public void DevicesAndKernelFilesAreTheGuests(string source, bool shared)
    {
        var plan = Plan(Mount("/x", "bind", source, "bind"));
        Assert.Equal(shared ? 2 : 1, plan.Shares.Count);
        Assert.Equal(shared ? "" : Path.GetFullPath(source), Assert.Single(plan.Overlay.Mounts).Guest);
    }

    [Fact]
    public void SharedMemoryIsTheSandboxs()
    {
        var plan = Plan(Mount("/dev/shm", "bind", "/var/lib/containers/shm", "bind"));
        Assert.Single(plan.Shares);
        Assert.Equal([new MountSource { Index = 0, SandboxTmpfs = "shm" }], plan.Overlay.Mounts);
    }

    [Theory]
    [InlineData("kubernetes.io~empty-dir/cache", "tmpfs", "", "memory-0-50", "")]
    [InlineData("kubernetes.io~empty-dir/cache", "tmpfs", "/a/b", "memory-0-50", "a/b")]
    [InlineData("kubernetes.io~empty-dir/cache", "ext4", "", null, "")]
    [InlineData("kubernetes.io~empty-dir/cache/deeper", "tmpfs", "", null, "")]
    [InlineData("kubernetes.io~secret/cache", "tmpfs", "", null, "")]
    public void AnEmptyDirectoryInMemoryIsTheGuests(string volume, string type, string inside, string? name, string path)
    {
        var root = Directory.CreateTempSubdirectory("katalike-plan-").FullName;
        try
        {
            var place = $"{root}/volumes/{volume}";
            Directory.CreateDirectory(place + inside);
            var mounts = MountTable.Parse($"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:50 / {place} rw - {type} tmpfs rw,size=1024k\n");
            var plan = SharePlan.From(Spec(Mount("/x", "bind", place + inside, "rbind")), "c1", "/b", [], mounts);
            Assert.Equal(2, plan.Shares.Count);
            Assert.Equal(
                name is null ? new MountSource { Shared = "katalike/c1/0" }
                    : new MountSource { SandboxTmpfs = name, TmpfsSize = 1 << 20, TmpfsPath = path, TmpfsModel = "katalike/c1/0" },
                Assert.Single(plan.Overlay.Mounts));
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    [Theory]
    [InlineData("b", 8, 1, "b", 8, 1, true, "rwm", "w")]
    [InlineData("b", 8, 1, "b", 8, 1, true, "", "w")]
    [InlineData("b", 8, 1, "b", 8, 1, true, "rm", "r")]
    [InlineData("b", 8, 1, "b", 8, 1, false, "rwm", null)]
    [InlineData("b", 8, 1, "b", 8, 2, true, "rwm", null)]
    [InlineData("b", 8, 1, "a", null, null, true, "rwm", null)]
    [InlineData("b", 8, 1, null, null, null, true, "rwm", null)]
    [InlineData("c", 8, 1, "b", 8, 1, true, "rwm", null)]
    [InlineData("b", 5000, 1, "b", 5000, 1, true, "rwm", null)]
    public void ABlockDeviceIsADiskWhereARuleNamesIt(string type, long major, long minor, string? ruleType, int? ruleMajor, int? ruleMinor, bool allow, string access, string? expected)
    {
        var linux = new LinuxSpec
        {
            Devices = [new Device { Path = "/dev/x", Type = "b", Major = 1, Minor = 1 }, new Device { Path = "/dev/y", Type = type, Major = major, Minor = minor }],
            Resources = new Resources { Devices = [new DeviceRule(), new DeviceRule { Allow = allow, Type = ruleType, Major = ruleMajor, Minor = ruleMinor, Access = access }] },
        };
        Assert.Equal(
            expected is null ? [] : [new HostBlockDevice(1, "/dev/y", (uint)major, (uint)minor, expected == "r")], HostBlockDevice.From(linux));
    }

    [Fact]
    public void WhatTheHostMountsIsShared()
    {
        var plan = Plan(Mount("/o", "overlay", "overlay", "lowerdir=/a:/b", "ro"), Mount("/t", "tmpfs", "t"), Mount("/o", "bind", "/o", "bind", "remount"));
        var told = Assert.Single(plan.Overlay.Mounts);
        Assert.Equal((0u, "katalike/c1/0"), (told.Index, told.Shared));
        var fileSystem = Assert.Single(plan.FileSystems);
        Assert.Equal(("0", "/o", "overlay", "overlay"), (fileSystem.Name, fileSystem.Destination, fileSystem.Mount.Type, fileSystem.Mount.Source));
    }

    [Fact]
    public void OwnersAreMappedByTheHost()
    {
        IdMapping[] ids = [new() { ContainerId = 0, HostId = 1000, Size = 10 }];
        var share = Plan(Mount("/data", "bind", "/srv", "rbind", "ridmap", "rro") with { UidMappings = ids, GidMappings = ids }).Shares[1];
        Assert.True(share is { ReadOnly: true, ReadOnlyBelow: true, Ids.Recursive: true });
        Assert.Equal([new IdRange(0, 1000, 10)], share.Ids!.Users);
        Assert.Equal(share.Ids.Users, share.Ids.Groups);
        Assert.Throws<RuntimeException>(() => Plan(Mount("/o", "ext4", "/dev/x") with { UidMappings = ids, GidMappings = ids }));
    }

    private static SharePlan Plan(params Mount[] mounts) => SharePlan.From(Spec(mounts), "c1", "/b", []);

    private static Spec Spec(params Mount[] mounts) => Contract.Oci.Spec.Default() with { Mounts = mounts };

    private static Mount Mount(string destination, string type, string source, params string[] options) =>
        new() { Destination = destination, Type = type, Source = source, Options = options };
}
