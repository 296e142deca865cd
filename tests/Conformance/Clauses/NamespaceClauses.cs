namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config-linux.md, "Namespaces", "User namespace mappings", "Offset for Time Namespace", "Sysctl"; config.md, "Hostname", "Domainname".</summary>
internal static class NamespaceClauses
{
    private const string NewerThanRunc = "newer than runc 1.1";
    private const string User = """
        {"linux":{"namespaces":[{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":100000,"size":1000},{"containerID":1000,"hostID":200000,"size":2000}],
         "gidMappings":[{"containerID":0,"hostID":300000,"size":1000}]},
         "mounts":[{"destination":"/own","type":"tmpfs","source":"tmpfs"}]}
        """;

    public static IEnumerable<Clause> All => [.. New, .. Joined, .. Users, .. Names, .. Times, .. Sysctls];

    private static IEnumerable<Clause> New =>
    [
        .. from kind in ((string Type, string File)[])[("pid", "pid"), ("network", "net"), ("mount", "mnt"), ("ipc", "ipc"), ("uts", "uts")]
           select new Observed("linux.namespaces", $"a new {kind.Type} namespace", "{}",
               o => Assert.NotEqual(o.Holder.Namespace(kind.File), o.Namespace(kind.File))) { ByDefault = true },
        new Observed("linux.namespaces", "a new cgroup namespace, whose root is the container's cgroup", """{"linux":{"namespaces":[{"type":"cgroup"}]}}""", o =>
        {
            Assert.NotEqual(o.Holder.Namespace("cgroup"), o.Namespace("cgroup"));
            Assert.All(o.Cgroups, path => Assert.Equal("/", path));
        }) { Container = "cgroup namespace" },
        new Played("linux.namespaces", "one that is not listed is the runtime's", stage => SharedAsync(stage, ["mount", "pid", "network"], ["ipc", "uts", "user", "cgroup"])),
        new Played("linux.namespaces", "the network, where it is not listed, is the runtime's", stage => SharedAsync(stage, ["mount", "pid"], ["net"])),
    ];

    private static IEnumerable<Clause> Joined =>
    [
        .. from kind in ((string Type, string File)[])[("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")]
           let others = string.Join(',', ((string[])["network", "ipc", "uts", "pid", "mount"]).Where(type => type != kind.Type).Select(type => $$"""{"type":"{{type}}"}"""))
           select new Observed("linux.namespaces", $"a {kind.Type} namespace by path",
               $$"""{"linux":{"namespaces=":[{{others}},{"type":"{{kind.Type}}","path":"/proc/$HOLDER/ns/{{kind.File}}"}]} }""",
               o =>
               {
                   Assert.Equal(o.Holder.Namespace(kind.File), o.Namespace(kind.File));
                   foreach (var other in ((string[])["net", "ipc", "uts", "pid"]).Where(other => other != kind.File))
                       Assert.NotEqual(o.Holder.Namespace(other), o.Namespace(other));
               }) { Container = $"joins {kind.Type}" },
        new Observed("linux.namespaces", "several by path, as in a pod", """
            {"linux":{"namespaces=":[{"type":"mount"},{"type":"pid"},{"type":"network","path":"/proc/$HOLDER/ns/net"},{"type":"ipc","path":"/proc/$HOLDER/ns/ipc"},{"type":"uts","path":"/proc/$HOLDER/ns/uts"}]}}
            """, o =>
        {
            foreach (var kind in (string[])["net", "ipc", "uts"])
                Assert.Equal(o.Holder.Namespace(kind), o.Namespace(kind));
        }) { Container = "pod" },
        new Refused("linux.namespaces", "a path that does not exist", "/no/such/namespace", """{"linux":{"namespaces=":[{"type":"mount"},{"type":"pid"},{"type":"network","path":"/no/such/namespace"}]}}"""),
    ];

    private static IEnumerable<Clause> Users =>
    [
        new Observed("linux.uidMappings", "several ranges", User,
            o => Assert.Equal(["0 100000 1000", "1000 200000 2000"], Lines(o.Text("uid_map")))) { Container = "user namespace" },
        new Observed("linux.gidMappings", "one range, and setgroups is allowed", User, o =>
        {
            Assert.Equal(["0 300000 1000"], Lines(o.Text("gid_map")));
            Assert.Equal("allow\n", o.Text("setgroups"));
            Assert.NotEqual(o.Holder.Namespace("user"), o.Namespace("user"));
        }) { Container = "user namespace" },
        new Observed("linux.uidMappings", "the process is root inside, files of others are nobody's", User, o =>
        {
            Assert.Equal("0\t0\t0\t0", o.Status("Uid"));
            Assert.Equal(("f 0755 65534 65534 0:0", "f 0644 0 0 0:0"), (o.Answer("stat:/probe"), o.Answer("stat:/own/file")));
        }, "stat:/probe", "write:/own/file", "stat:/own/file") { Container = "user namespace" },
        new Observed("linux.uidMappings", "root inside cannot write what root outside owns", User,
            o => Assert.Equal("EACCES", o.Answer("write:/dir/file")), "write:/dir/file") { Container = "user namespace" },
        new Observed("linux.uidMappings", "capabilities hold inside only", """
            {"process":{"capabilities":{"bounding":["CAP_SYS_ADMIN","CAP_CHOWN","CAP_SYS_TIME"],"effective":["CAP_SYS_ADMIN","CAP_CHOWN","CAP_SYS_TIME"],"permitted":["CAP_SYS_ADMIN","CAP_CHOWN","CAP_SYS_TIME"]}}}
            """, o => Assert.Equal(("ok", "EPERM", "EPERM"), (o.Answer("mount:tmpfs,/own"), o.Answer("call:swapoff,/x"), o.Answer("call:chown,/probe,0,0"))),
            "mount:tmpfs,/own", "call:swapoff,/x", "call:chown,/probe,0,0") { Container = "user namespace" },
        new Played("linux.uidMappings", "on the host a file belongs to the mapped ids", async stage =>
        {
            var bundle = stage.NewBundle();
            await HostCommand.RunAsync("chown", ["100000:300000", $"{bundle.Rootfs}/tmp"]);
            var seen = await stage.ObserveAsync(bundle, [User], ["write:/tmp/mine", "stat:/tmp/mine"]);
            Assert.Equal("f 0644 0 0 0:0", seen.Answer("stat:/tmp/mine"));
            var owner = await HostCommand.RunAsync("stat", ["-c", "%u:%g", $"{bundle.Rootfs}/tmp/mine"]);
            Assert.Equal("100000:300000", owner.Text);
        }),
        new Refused("linux.uidMappings", "without a user namespace", "user", """{"linux":{"uidMappings":[{"containerID":0,"hostID":1000,"size":1}]}}""") { RuncCannot = "runc 1.1 does not look at it" },
    ];

    private static Clause[] Names =>
    [
        new Observed("hostname", "is set", """{"hostname":"a-name.of-its.own"}""", o => Assert.Equal("a-name.of-its.own", o.Text("hostname"))),
        new Observed("domainname", "is set", """{"domainname":"domain.example"}""",
            o => Assert.Equal("domain.example", o.Text("domainname"))) { Container = "domain", RuncCannot = NewerThanRunc },
        new Refused("hostname", "without a uts namespace", "uts", """{"hostname":"x","linux":{"namespaces=":[{"type":"mount"},{"type":"pid"},{"type":"network"}]}}"""),
    ];

    private static Clause[] Times =>
    [
        new Observed("linux.timeOffsets", "boottime and monotonic", """
            {"linux":{"namespaces":[{"type":"time"}],"timeOffsets":{"boottime":{"secs":864000,"nanosecs":0},"monotonic":{"secs":1728000,"nanosecs":5}}}}
            """, o =>
        {
            Assert.InRange(o.Number("boottime") - o.Holder.Number("boottime"), 864000, 864000 + 600);
            Assert.InRange(o.Number("monotonic") - o.Holder.Number("monotonic"), 1728000, 1728000 + 600);
            Assert.NotEqual(o.Holder.Namespace("time"), o.Namespace("time"));
        }) { Container = "time", RuncCannot = NewerThanRunc },
        new Refused("linux.timeOffsets", "without a time namespace", "time", """{"linux":{"timeOffsets":{"boottime":{"secs":1}}}}""") { RuncCannot = NewerThanRunc },
    ];

    private static Clause[] Sysctls =>
    [
        new Observed("linux.sysctl", "of the ipc namespace", """{"linux":{"sysctl":{"kernel.msgmax":"9000","kernel.shm_rmid_forced":"1","fs.mqueue.msg_max":"20"}}}""",
            o => Assert.Equal(("9000", "1", "20"), (o.Answer("read:/proc/sys/kernel/msgmax"), o.Answer("read:/proc/sys/kernel/shm_rmid_forced"), o.Answer("read:/proc/sys/fs/mqueue/msg_max"))),
            "read:/proc/sys/kernel/msgmax", "read:/proc/sys/kernel/shm_rmid_forced", "read:/proc/sys/fs/mqueue/msg_max"),
        new Observed("linux.sysctl", "of the network namespace, in either form of its name", """{"linux":{"sysctl":{"net.ipv4.ip_unprivileged_port_start":"500","net/ipv4/ping_group_range":"7 9"}}}""",
            o => Assert.Equal(("500", "7\t9"), (o.Answer("read:/proc/sys/net/ipv4/ip_unprivileged_port_start"), o.Answer("read:/proc/sys/net/ipv4/ping_group_range"))),
            "read:/proc/sys/net/ipv4/ip_unprivileged_port_start", "read:/proc/sys/net/ipv4/ping_group_range"),
        new Refused("linux.sysctl", "one that no namespace holds", "vm.swappiness", """{"linux":{"sysctl":{"vm.swappiness":"10"}}}"""),
        new Refused("linux.sysctl", "net without a network namespace", "net", """{"linux":{"sysctl":{"net.ipv4.ip_forward":"1"},"namespaces=":[{"type":"mount"},{"type":"pid"}]}}"""),
        new Refused("linux.sysctl", "ipc without an ipc namespace", "kernel.msgmax", """{"linux":{"sysctl":{"kernel.msgmax":"1"},"namespaces=":[{"type":"mount"},{"type":"pid"},{"type":"network"}]}}"""),
    ];

    /// <summary>Two containers see the same; what they have for themselves is not the first container's.</summary>
    private static async Task SharedAsync(Stage stage, string[] own, string[] shared)
    {
        var config = $$"""{"linux":{"namespaces=":[{{string.Join(',', own.Select(type => $"{{\"type\":\"{type}\"}}"))}}]} }""";
        var (one, other) = (await stage.ObserveAsync(stage.NewBundle(), [config], []), await stage.ObserveAsync(stage.NewBundle(), [config], []));
        Assert.All(shared, kind => Assert.Equal(one.Namespace(kind), other.Namespace(kind)));
        Assert.NotEqual(one.Holder.Namespace("pid"), one.Namespace("pid"));
    }

    private static string[] Lines(string map) =>
        [.. map.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))];
}
