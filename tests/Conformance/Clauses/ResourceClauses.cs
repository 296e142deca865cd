using System.Globalization;

namespace KataLike.Conformance.Tests.Clauses;

/// <summary>
/// config-linux.md, "Control groups". The guest has version 2, the host whatever it has: each limit names the file and the
/// value of either.
/// </summary>
internal static class ResourceClauses
{
    private const string Mounts = """
        "mounts":[{"destination":"/sys","type":"sysfs","source":"sysfs","options":["ro"]},{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro"]}]
        """;
    private const string NotInVersion1 = "the host has version 1 of this controller, or none";

    private static readonly bool Unified = File.Exists("/sys/fs/cgroup/cgroup.controllers");

    public static IEnumerable<Clause> All =>
    [
        Limit("memory.limit", """{"memory":{"limit":67108864}}""", "memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"),
        Limit("memory.reservation", """{"memory":{"reservation":33554432}}""", "memory/memory.soft_limit_in_bytes", "33554432", "memory.low", "33554432"),
        Limit("memory.swap", """{"memory":{"limit":67108864,"swap":100663296}}""", "memory/memory.memsw.limit_in_bytes", "100663296", "memory.swap.max", "33554432"),
        Limit("memory.swap: unlimited", """{"memory":{"limit":67108864,"swap":-1}}""", "memory/memory.limit_in_bytes", "67108864", "memory.swap.max", "max") with { Container = "unlimited swap" },
        Limit("cpu.shares", """{"cpu":{"shares":512}}""", "cpu/cpu.shares", "512", "cpu.weight", "20", "59"),
        Limit("cpu.quota and period", """{"cpu":{"quota":30000,"period":60000}}""", "cpu/cpu.cfs_quota_us", "30000", "cpu.max", "30000 60000"),
        Limit("cpu.quota: unlimited", """{"cpu":{"quota":-1,"period":50000}}""", "cpu/cpu.cfs_period_us", "50000", "cpu.max", "max 50000") with { Container = "unlimited cpu" },
        Limit("cpu.burst", """{"cpu":{"quota":30000,"period":60000,"burst":10000}}""", null, "", "cpu.max.burst", "10000") with { Container = "burst" },
        Limit("cpu.idle", """{"cpu":{"idle":1}}""", null, "", "cpu.idle", "1") with { Container = "idle cpu" },
        Limit("cpu.cpus", """{"cpu":{"cpus":"0"}}""", "cpuset/cpuset.cpus", "0", "cpuset.cpus", "0"),
        Limit("cpu.mems", """{"cpu":{"mems":"0"}}""", "cpuset/cpuset.mems", "0", "cpuset.mems", "0"),
        Limit("pids.limit", """{"pids":{"limit":40}}""", "pids/pids.max", "40", "pids.max", "40"),
        Limit("blockIO.weight", """{"blockIO":{"weight":500}}""", null, "", "io.weight", "default 4950") with { Container = "io" },
        Limit("hugepageLimits", """{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}""", null, "", "hugetlb.2MB.max", "4194304") with { Container = "huge pages" },
        Limit("unified", """{"unified":{"memory.high":"50003968","pids.max":"77"}}""", null, "", "memory.high", "50003968") with { Container = "unified" },
        new Observed("linux.resources", "cpu.cpus: the process runs there", """{"linux":{"resources":{"cpu":{"cpus":"0"}}}}""",
            o => Assert.Equal([0], o.Processors)) { Container = "resources", ByDefault = Environment.ProcessorCount == 1 },
        new Observed("linux.resources", "pids.limit: no more can be made", """{"linux":{"resources":{"pids":{"limit":40}}}}""",
            o => Assert.Matches("^[0-9]{2} EAGAIN$", o.Answer("children:60")), "children:60") { Container = "resources" },
        new Observed("linux.resources", "memory.limit: who takes more is killed, the container lives", """{"linux":{"resources":{"memory":{"limit":67108864}}}}""",
            o => Assert.Equal(("exit 0", "SIGKILL"), (o.Answer("touch:16"), o.Answer("touch:256"))), "touch:16", "touch:256") { Container = "killed" },
        new Observed("linux.cgroupsPath", "is the container's cgroup", """{"linux":{"cgroupsPath":"/kl-conformance-path"}}""",
            o => Assert.All(o.Cgroups.Where(path => path != "/"), path => Assert.EndsWith("/kl-conformance-path", path, StringComparison.Ordinal))) { Container = "cgroups path" },
        new Observed("linux.cgroupsPath", "a relative one is the runtime's to place", """{"linux":{"cgroupsPath":"kl-conformance-relative"}}""",
            o => Assert.Contains(o.Cgroups, path => path.EndsWith("/kl-conformance-relative", StringComparison.Ordinal))) { Container = "relative cgroups path" },
        new Refused("linux.resources", "unified: a file that does not exist", "no.such", """{"linux":{"resources":{"unified":{"no.such":"1"}}}}""") { RuncCannot = Unified ? null : NotInVersion1 },
    ];

    /// <param name="first">Below /sys/fs/cgroup of version 1; null: it has no such file.</param>
    /// <param name="second">The file of version 2, with each value that is right there.</param>
    private static Observed Limit(string title, string resources, string? first, string firstValue, string second, params string[] values)
    {
        var (old, now) = ($"read:/sys/fs/cgroup/{first}", $"read:/sys/fs/cgroup/{second}");
        return new Observed("linux.resources", title, string.Create(CultureInfo.InvariantCulture, $$"""{"linux":{"resources":{{resources}},"namespaces":[{"type":"cgroup"}]},{{Mounts}} }"""), o =>
        {
            if (first is not null && o.Answer(old) is not ("ENOENT" or "ENOTDIR") and var value)
                Assert.Equal(firstValue, value);
            else
                Assert.Contains(o.Answer(now), values);
        }, old, now)
        { Container = "resources", RuncCannot = Unified || (first is not null && File.Exists($"/sys/fs/cgroup/{first}")) ? null : NotInVersion1 };
    }
}
