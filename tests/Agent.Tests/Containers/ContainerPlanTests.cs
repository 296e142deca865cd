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
        Id = "box", Spec = spec, Rootfs = "/rootfs", MountSources = new Dictionary<int, string>(), Stdio = new Stdio(),
    };

    private static ContainerPlan Plan(Func<LinuxSpec, LinuxSpec> change) =>
        ContainerPlan.From(Request(Spec.Default() with { Linux = change(Spec.Default().Linux!) }));

    private static void Refuses(string message, Func<Spec, Spec> change) =>
        Assert.Equal(message, Assert.Throws<ContainerException>(() => ContainerPlan.From(Request(change(Spec.Default())))).Message);

    [Fact]
    public void DefaultSpecIsPlanned()
    {
        var plan = ContainerPlan.From(Request(Spec.Default()));
        Assert.Equal(Namespaces.Pid | Namespaces.Network | Namespaces.Ipc | Namespaces.Uts | Namespaces.Mount, plan.NewNamespaces);
        Assert.Empty(plan.JoinedNamespaces);
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
        Assert.Equal(new CapabilitySets(kept, kept, 0, kept, kept), plan.Process.Capabilities);
        Assert.Equal([new ResourceLimit(7, 1024, 1024)], plan.Process.Limits);
        Assert.Equal(18, plan.Process.Umask);
        Assert.True(plan.Process.NoNewPrivileges);
    }

    [Fact]
    public void NamespaceWithAPathIsTheGuestsOwnForTheFirstContainer()
    {
        var plan = Plan(linux => linux with
        {
            Namespaces = [new Namespace { Type = "mount" }, new Namespace { Type = "network", Path = "/run/netns/x" }],
        });
        Assert.Equal(Namespaces.Mount, plan.NewNamespaces);
        Assert.Empty(plan.JoinedNamespaces);
    }

    [Fact]
    public void WhatIsNotSupportedIsRefused()
    {
        Refuses("linux.seccomp: the host has not compiled it", spec => spec with { Linux = spec.Linux! with { Seccomp = new Seccomp { DefaultAction = "SCMP_ACT_ALLOW" } } });
        Refuses("linux.namespaces: a user namespace is not supported", spec => spec with
        {
            Linux = spec.Linux! with { Namespaces = [.. spec.Linux.Namespaces!, new Namespace { Type = "user" }] },
        });
        Refuses("linux.namespaces: joining a mount namespace is not supported", spec => spec with
        {
            Linux = spec.Linux! with { Namespaces = [new Namespace { Type = "mount", Path = "/proc/1/ns/mnt" }] },
        });
        Refuses("process.apparmorProfile is not supported", spec => spec with { Process = spec.Process! with { ApparmorProfile = "x" } });
        Refuses("mounts[0] (/a): /b is not shared with the guest", spec => spec with
        {
            Mounts = [new Mount { Destination = "/a", Type = "bind", Source = "/b" }],
        });
        Refuses("mounts[0] (/a): option mode is not one of a bind mount", spec => spec with
        {
            Mounts = [new Mount { Destination = "/a", Source = "/b", Options = ["bind", "mode=7"] }],
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
