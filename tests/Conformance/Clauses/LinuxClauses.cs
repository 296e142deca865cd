namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config-linux.md, the properties that depend on the kernel or the processor: applied, or refused by name.</summary>
internal static class LinuxClauses
{
    private const string NewerThanRunc = "newer than runc 1.1";

    // Where the host has the module, a label is passed over with a warning: Runtime.Tests/Sandbox/SecurityLabelsTests.
    private static readonly bool HasAppArmor = Directory.Exists("/sys/kernel/security/apparmor"), HasSelinux = Directory.Exists("/sys/fs/selinux");

    private static readonly string? HasResctrl = Directory.Exists("/sys/fs/resctrl") ? "the host has Intel RDT" : null;

    public static Clause[] All =>
    [
        new Observed("linux.personality", "LINUX32", """{"linux":{"personality":{"domain":"LINUX32"}}}""",
            o => Assert.Equal(("i686", 8), (o.Text("machine"), o.Number("personality")))) { Container = "personality", RuncCannot = NewerThanRunc },
        new Observed("linux.personality", "LINUX", """{"linux":{"personality":{"domain":"LINUX"}}}""",
            o => Assert.Equal(("x86_64", 0), (o.Text("machine"), o.Number("personality")))) { Container = "own personality", ByDefault = true },
        new Refused("linux.personality", "an unknown domain", "personality", """{"linux":{"personality":{"domain":"PLAN9"}}}""") { RuncCannot = NewerThanRunc },
        .. HasAppArmor ? Array.Empty<Clause>() : [new Refused("process.apparmorProfile", "where the host has no AppArmor", "apparmor", """{"process":{"apparmorProfile":"some-profile"}}""")],
        .. HasSelinux ? Array.Empty<Clause>() : [new Refused("process.selinuxLabel", "where the host has no SELinux", "selinux", """{"process":{"selinuxLabel":"system_u:system_r:svirt_lxc_net_t:s0:c1,c2"}}""")],
        .. HasSelinux ? Array.Empty<Clause>() : [new Refused("linux.mountLabel", "where the host has no SELinux", "mount", """{"linux":{"mountLabel":"system_u:object_r:svirt_sandbox_file_t:s0:c1,c2"}}""")],
        new Refused("linux.intelRdt", "where there is none", "intelRdt", """{"linux":{"intelRdt":{"closID":"some-class","l3CacheSchema":"L3:0=ffff"}}}""") { RuncCannot = HasResctrl },
        new Refused("linux.memoryPolicy", "a node that is not there", "memoryPolicy", """{"linux":{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"7"}}}""") { RuncCannot = NewerThanRunc },
        new Refused("linux.netDevices", "a device that is not there", "netDevices", """{"linux":{"netDevices":{"no-such0":{"name":"eth0"}}}}""") { RuncCannot = NewerThanRunc },
    ];
}
