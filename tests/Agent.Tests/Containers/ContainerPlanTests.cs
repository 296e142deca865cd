using KataLike.Agent.Cgroups;
using KataLike.Agent.Containers;
using KataLike.Agent.Rootfs;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using Namespace = KataLike.Contract.Oci.Namespace;

namespace KataLike.Agent.Tests.Containers;

public class ContainerPlanTests
{
    private static ContainerRequest Request(Spec spec) => new()
    {
        Id = "box",
        Spec = spec,
        Rootfs = "/rootfs",
        MountSources = new Dictionary<int, string>(),
        Stdio = new Stdio(),
        Adopt = _ => Task.FromResult(default(ProcessExit)),
    };

    private static ContainerPlan Plan(Func<LinuxSpec, LinuxSpec> change) =>
        ContainerPlan.From(Request(Spec.Default() with { Linux = change(Spec.Default().Linux!) }));

    private static void Refuses(string message, Func<Spec, Spec> change) =>
        Assert.Equal(message, Assert.Throws<ContainerException>(() => ContainerPlan.From(Request(change(Spec.Default())))).Message);

    [Fact]
    public void DefaultSpecIsPlanned()
    {
        var plan = ContainerPlan.From(Request(Spec.Default()));
        Assert.Equal(Namespaces.Pid | Namespaces.Network | Namespaces.Ipc | Namespaces.Uts | Namespaces.Mount, plan.Namespaces.New);
        Assert.Empty(plan.Namespaces.Joined);
        Assert.Equal("runc", plan.HostName);
        Assert.Equal("box", plan.CgroupPath);
        Assert.True(plan.Root.ReadOnly);
        Assert.True(plan.Root.Console);
        Assert.Equal(new Propagation(MountPropagation.Slave, Recursive: false), plan.Root.Propagation);
        Assert.Equal(
            [("/proc", MountKind.Proc), ("/dev", MountKind.FileSystem), ("/dev/pts", MountKind.FileSystem), ("/dev/shm", MountKind.FileSystem),
             ("/dev/mqueue", MountKind.FileSystem), ("/sys", MountKind.FileSystem), ("/sys/fs/cgroup", MountKind.Cgroup)],
            plan.Root.Mounts.Select(mount => (mount.Destination, mount.Kind)));
        Assert.Equal(
            ["/usr/local/sbin/sh", "/usr/local/bin/sh", "/usr/sbin/sh", "/usr/bin/sh", "/sbin/sh", "/bin/sh"], plan.Process.Candidates);
        const ulong kept = 1UL << 29 | 1UL << 5 | 1UL << 10;
        Assert.Equal(new CapabilitySets(kept, kept, 0, kept, kept), plan.Process.Capabilities!.Value);
        Assert.Equal([new ResourceLimit(7, 1024, 1024)], plan.Process.Limits);
        Assert.Equal(18, plan.Process.Umask);
        Assert.True(plan.Process.NoNewPrivileges);
    }

    [Fact]
    public void FirstContainerTakesTheGuestsOwnForWhatEnginesPrepareAndNothingElseOfTheHost()
    {
        static IReadOnlyList<Namespace> At(params string[] types) => [.. types.Select(type => new Namespace { Type = type, Path = $"/run/{type}/x" })];
        var plan = Plan(linux => linux with { Namespaces = [new Namespace { Type = "mount" }, .. At("network", "ipc", "uts")] });
        Assert.Equal(Namespaces.Mount, plan.Namespaces.New);
        Assert.Empty(plan.Namespaces.Joined);
        foreach (var type in new[] { "pid", "user", "cgroup", "time" })
        {
            Refuses($"linux.namespaces: cannot join the {type} namespace /run/{type}/x: the sandbox has no other container, and the host's is out of reach",
                spec => spec with { Linux = spec.Linux! with { Namespaces = At(type) } });
        }
    }

    [Fact]
    public void MountNamespaceIsAlwaysItsOwn() =>
        Assert.Equal(Namespaces.Mount | Namespaces.Uts, Plan(linux => linux with { Namespaces = [new Namespace { Type = "uts" }] }).Namespaces.New);

    [Fact]
    public void UserNamespaceOwnsWhatIsMade()
    {
        var plan = Plan(linux => linux with
        {
            Namespaces = [new Namespace { Type = "user" }, new Namespace { Type = "cgroup" }],
            UidMappings = [new IdMapping { ContainerId = 0, HostId = 1000, Size = 10 }, new IdMapping { ContainerId = 10, HostId = 5000, Size = 1 }],
            GidMappings = [new IdMapping { ContainerId = 0, HostId = 2000, Size = 10 }],
        });
        var owners = plan.Namespaces.Owners!;
        Assert.Equal([1000u, 1009u, 5000u, null], new uint[] { 0, 9, 10, 11 }.Select(owners.User));
        Assert.Equal((1000u, 2000u), plan.Root.Owner);
        Assert.True(plan.Root.BindNodes);
        // The cgroup mount of runc's document is read-only.
        Assert.Null(plan.CgroupOwner);
    }

    [Fact]
    public void WhatIsNotSupportedIsRefused()
    {
        Refuses("linux.seccomp: the host has not compiled it", spec => spec with { Linux = spec.Linux! with { Seccomp = new Seccomp { DefaultAction = "SCMP_ACT_ALLOW" } } });
        Refuses("linux.namespaces: joining the mount namespace /proc/1/ns/mnt is not supported: it is the host's", spec => spec with
        {
            Linux = spec.Linux! with { Namespaces = [new Namespace { Type = "mount", Path = "/proc/1/ns/mnt" }] },
        });
        Refuses("mounts[0] (/a): /b is not shared with the guest", spec => spec with
        {
            Mounts = [new Mount { Destination = "/a", Type = "bind", Source = "/b" }],
        });
        Refuses("linux.sysctl: net/../x is not the name of a kernel parameter", spec => spec with
        {
            Linux = spec.Linux! with { Sysctl = new Dictionary<string, string> { ["net/../x"] = "1" } },
        });
    }

    [Theory]
    [InlineData("net.ipv4.ip_forward", "net/ipv4/ip_forward")]
    [InlineData("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding")]
    [InlineData("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding")]
    public void SysctlsBecomeFiles(string name, string file) => Assert.Equal(
        [(file, "1")], Plan(linux => linux with { Sysctl = new Dictionary<string, string> { [name] = "1" } }).Sysctls);

    [Theory]
    [InlineData(null, "box")]
    [InlineData("/a/b", "a/b")]
    [InlineData("../../a/./b", "a/b")]
    [InlineData("/", "box")]
    [InlineData("machine.slice:libpod:0123", "box")]
    public void CgroupPathStaysBelowOurs(string? path, string expected) =>
        Assert.Equal(expected, Plan(linux => linux with { CgroupsPath = path }).CgroupPath);

    [Fact]
    public void DevicesOfTheDocumentComeBeforeTheDefaults()
    {
        var plan = Plan(linux => linux with
        {
            Devices = [new Device { Path = "/dev/null", Type = "c", Major = 9, Minor = 9, FileMode = 384 }, new Device { Path = "/dev/fuse", Type = "c", Major = 10, Minor = 229, Gid = 5 }],
        });
        Assert.Equal(new NodePlan("/dev/null", 0x2180, 9, 9), plan.Root.Nodes[0]);
        Assert.Equal(new NodePlan("/dev/fuse", 0x21b6, 10, 229, 0, 5), plan.Root.Nodes[1]);
        Assert.Equal(7, plan.Root.Nodes.Count);
    }

    [Fact]
    public void BoundDevGetsNoDevices()
    {
        var spec = Spec.Default() with { Mounts = [new Mount { Destination = "/dev/", Source = "/x", Options = ["rbind"] }] };
        var plan = ContainerPlan.From(Request(spec) with { MountSources = new Dictionary<int, string> { [0] = "/shared/x" } });
        Assert.Equal("/shared/x", plan.Root.Mounts[0].Source);
        Assert.Empty(plan.Root.Nodes);
        Assert.Empty(plan.Root.Links);
        Assert.False(plan.Root.Console);
    }

    [Fact]
    public void OverlaysNameGuestPathsAndNothingElse()
    {
        var overlay = new Overlay { Rootfs = "katalike/box/rootfs", Mounts = { new MountSource { Index = 3, Shared = "katalike/box/3" }, new MountSource { Index = 4, SandboxTmpfs = "shm" } } };
        Assert.Equal("/run/katalike/shared/katalike/box/rootfs", Overlays.Rootfs(overlay));
        Assert.Equal(new Dictionary<int, string> { [3] = "/run/katalike/shared/katalike/box/3", [4] = "/run/katalike/tmpfs/shm" }, Overlays.Sources(overlay));
        foreach (var bad in new[] { "", "/etc", "a/../../b", ".." })
            Assert.Throws<ContainerException>(() => Overlays.Rootfs(new Overlay { Rootfs = bad }));
    }
}
