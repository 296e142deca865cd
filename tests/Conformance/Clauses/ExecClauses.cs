namespace KataLike.Conformance.Tests.Clauses;

/// <summary>The properties of a process that is added to a container: process.json of exec.</summary>
internal static class ExecClauses
{
    private const string NewerThanRunc = "newer than runc 1.1", NotByRunc = "runc 1.1 leaves it out in exec";

    public static Clause[] All =>
    [
        In("env and cwd", """{"env":["EXEC=1"],"cwd":"/dir"}""", o =>
        {
            Assert.Equal(["PATH=/bin", "HOME=/", "EXEC=1"], o.Environment);
            Assert.Equal("/dir", o.Text("cwd"));
        }),
        In("env over the container's", """{"env":["PATH=/usr/bin"]}""", o => Assert.Equal(["PATH=/usr/bin", "HOME=/"], o.Environment))
            with { Container = "exec over" },
        In("user and additionalGids", """{"user":{"uid":1000,"gid":1001,"additionalGids":[5]}}""", o =>
            Assert.Equal(("1000\t1000\t1000\t1000", "1001\t1001\t1001\t1001", "5"),
                (o.Status("Uid"), o.Status("Gid"), o.Status("Groups").Trim()))),
        In("umask", """{"user":{"umask":63}}""", o => Assert.Equal("0077", o.Status("Umask"))) with { RuncCannot = NotByRunc },
        In("capabilities", """{"capabilities":{"bounding":["CAP_KILL"],"inheritable":["CAP_KILL"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"],"ambient":["CAP_KILL"]}}""", o =>
            Assert.Equal(Enumerable.Repeat("0000000000000020", 5),
                ((string[])["CapBnd", "CapInh", "CapPrm", "CapEff", "CapAmb"]).Select(o.Status))),
        In("rlimits", """{"rlimits":[{"type":"RLIMIT_CORE","soft":50,"hard":60}]}""", o => Assert.Equal("50:60", o.Limit("RLIMIT_CORE"))),
        In("noNewPrivileges", """{"noNewPrivileges":true}""", o => Assert.Equal("1", o.Status("NoNewPrivs"))),
        In("oomScoreAdj", """{"oomScoreAdj":123}""", o => Assert.Equal("123\n", o.Text("oom_score_adj"))) with { RuncCannot = NotByRunc },
        In("joins the container's namespaces", "{}", o =>
        {
            foreach (var kind in (string[])["pid", "net", "mnt", "ipc", "uts", "user", "cgroup"])
                Assert.Equal(o.Holder.Namespace(kind), o.Namespace(kind));
            Assert.NotEqual(1, o.Number("pid"));
        }) with { ByDefault = true },
        In("joins the container's cgroups", "{}", o => Assert.Equal(o.Holder.Text("cgroup"), o.Text("cgroup"))) with { ByDefault = true },
        In("execCPUAffinity", """{"execCPUAffinity":{"initial":"0","final":"1"}}""", o => Assert.Equal([1], o.Processors))
            with { Container = "affinity", RuncCannot = NewerThanRunc },
        In("scheduler", """{"scheduler":{"policy":"SCHED_BATCH","nice":5}}""", o => Assert.Equal((3, 5), (o.Number("schedulerPolicy"), o.Number("nice"))))
            with { Container = "scheduler", RuncCannot = NewerThanRunc },
        In("ioPriority", """{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":6}}""", o => Assert.Equal((2 << 13) | 6, o.Number("ioPriority")))
            with { Container = "io priority", RuncCannot = NewerThanRunc },
    ];

    private static Observed In(string title, string fragment, Action<Observation> check) => new("exec", title, fragment, check) { InExec = true, Container = "exec" };
}
