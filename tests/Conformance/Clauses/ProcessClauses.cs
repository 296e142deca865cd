namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config.md, "Process" and "User"; config-linux.md says nothing that is not here.</summary>
internal static class ProcessClauses
{
    private const string NewerThanRunc = "newer than runc 1.1", NoSysResource = "root of this host lacks CAP_SYS_RESOURCE";

    private const string Kill = "0000000000000020", ChownKill = "0000000000000021", ChownKillBind = "0000000000000421", None = "0000000000000000";

    private const string RootCapabilities = """
        {"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_KILL","CAP_NET_BIND_SERVICE"],"effective":["CAP_CHOWN","CAP_KILL"],"permitted":["CAP_CHOWN","CAP_KILL"]}}}
        """;

    public static IEnumerable<Clause> All => [.. Basics, .. Users, .. Capabilities, .. Limits, .. Scheduling];

    private static Clause[] Basics =>
    [
        new Observed("process.args", "each argument arrives as it is", "{}",
            o => Assert.Equal("ENOENT", o.Answer("read:/no \"such\" 'file'\t$HOME\\ \u00e9".Replace("\u00e9", "\u00c3\u00a9", StringComparison.Ordinal))),
            "read:/no \"such\" 'file'\t$HOME\\ \u00e9") { ByDefault = true },
        new Observed("process.env", "is all that the process gets", """{"process":{"env":["A=1","TWO=two words","EMPTY="]}}""",
            o => Assert.Equal(["PATH=/bin", "HOME=/", "A=1", "TWO=two words", "EMPTY="], o.Environment)),
        new Observed("process.env", "HOME comes from the password file where it is not given", """{"process":{"env=":["PATH=/bin"],"user":{"uid":1000,"gid":1000}}}""",
            o => Assert.Contains("HOME=/dir", o.Environment)) { Container = "home" },
        new Observed("process.env", "HOME comes from there, too, where it is empty", """{"process":{"env=":["PATH=/bin","HOME="],"user":{"uid":1000,"gid":1000}}}""",
            o => Assert.Equal(["PATH=/bin", "HOME=/dir"], o.Environment)) { Container = "empty home" },
        new Observed("process.env", "the last of several values for a name counts", """{"process":{"env":["A=1","B=2","A=3"]}}""",
            o => Assert.Equal(["PATH=/bin", "HOME=/", "A=3", "B=2"], o.Environment)) { Container = "a name twice" },
        new Observed("process.cwd", "is where the process starts", """{"process":{"cwd":"/dir/sub"}}""",
            o => Assert.Equal("/dir/sub", o.Text("cwd"))),
        new Observed("process.cwd", "is made where it is missing", """{"process":{"cwd":"/made/deep"}}""",
            o => Assert.Equal("/made/deep", o.Text("cwd"))) { Container = "cwd" },
        new Observed("process", "is the first of its pid namespace and leads its session", "{}",
            o => Assert.Equal((1, 0, 1), (o.Number("pid"), o.Number("ppid"), o.Number("session")))) { ByDefault = true },
        new Observed("process", "inherits standard streams and no other descriptor", "{}",
            o => Assert.Equal([0, 1, 2], o.Descriptors)) { ByDefault = true },
        new Observed("process.noNewPrivileges", "true", """{"process":{"noNewPrivileges":true}}""",
            o => Assert.Equal("1", o.Status("NoNewPrivs"))),
        new Observed("process.noNewPrivileges", "false", """{"process":{"noNewPrivileges":false}}""",
            o => Assert.Equal("0", o.Status("NoNewPrivs"))) { Container = "user", ByDefault = true },
        new Observed("process.oomScoreAdj", "is set", """{"process":{"oomScoreAdj":321}}""",
            o => Assert.Equal("321\n", o.Text("oom_score_adj"))),
        new Observed("process.oomScoreAdj", "can be negative", """{"process":{"oomScoreAdj":-500}}""",
            o => Assert.Equal("-500\n", o.Text("oom_score_adj"))) { Container = "raised", RuncCannot = NoSysResource },
    ];

    private static Clause[] Users =>
    [
        new Observed("process.user", "uid and gid", """{"process":{"user":{"uid":1000,"gid":1001}}}""", o =>
        {
            Assert.Equal("1000\t1000\t1000\t1000", o.Status("Uid"));
            Assert.Equal("1001\t1001\t1001\t1001", o.Status("Gid"));
        }) { Container = "user" },
        new Observed("process.user", "additionalGids, and no others", """{"process":{"user":{"additionalGids":[5,29,70000]}}}""",
            o => Assert.Equal("5 29 70000", o.Status("Groups").Trim())) { Container = "user" },
        new Observed("process.user", "no group of the runtime without additionalGids", "{}",
            o => Assert.Equal("", o.Status("Groups").Replace("0", "", StringComparison.Ordinal).Trim())) { ByDefault = true },
        new Observed("process.user", "umask", """{"process":{"user":{"umask":23}}}""",
            o => Assert.Equal("0027", o.Status("Umask"))) { Container = "user" },
        new Observed("process.user", "umask is 0022 where it is not given", "{}",
            o => Assert.Equal("0022", o.Status("Umask"))) { ByDefault = true },
        new Observed("process.user", "owns what it makes", """
            {"process":{"user":{"uid":1000,"gid":1001}},"mounts":[{"destination":"/owned","type":"tmpfs","source":"tmpfs","options":["mode=1777"]}]}
            """, o => Assert.Equal("f 0640 1000 1001 0:0", o.Answer("stat:/owned/file")), "write:/owned/file", "stat:/owned/file") { Container = "user" },
    ];

    private static Clause[] Capabilities =>
    [
        new Observed("process.capabilities", "root gains the bounding set", RootCapabilities,
            o => Assert.Equal((ChownKillBind, ChownKillBind, ChownKillBind, None), (o.Status("CapBnd"), o.Status("CapEff"), o.Status("CapPrm"), o.Status("CapAmb")))) { Container = "gaining" },
        new Observed("process.capabilities", "root gains nothing with noNewPrivileges", RootCapabilities,
            o => Assert.Equal((ChownKillBind, ChownKill, ChownKill, None), (o.Status("CapBnd"), o.Status("CapEff"), o.Status("CapPrm"), o.Status("CapAmb")))),
        new Observed("process.capabilities", "those that are kept work, the others do not", """
            {"process":{"capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"]}}}
            """, o => Assert.Equal(("ok", "EPERM", "EPERM", "EPERM"),
                (o.Answer("call:chown,/copied/file,7,7"), o.Answer("call:sethostname,x,1"), o.Answer("mount:tmpfs,/tmp"), o.Answer("call:setuid,5"))),
            "call:chown,/copied/file,7,7", "call:sethostname,x,1", "mount:tmpfs,/tmp", "call:setuid,5") { Container = "capable" },
        new Observed("process.capabilities", "five sets of another user", """
            {"process":{"user":{"uid":1000,"gid":1001},"capabilities":{"bounding":["CAP_CHOWN","CAP_KILL","CAP_NET_BIND_SERVICE"],
            "effective":["CAP_KILL"],"permitted":["CAP_CHOWN","CAP_KILL"],"inheritable":["CAP_CHOWN","CAP_KILL"],"ambient":["CAP_KILL"]}}}
            """, o => Assert.Equal((ChownKillBind, ChownKill, Kill, Kill, Kill),
                (o.Status("CapBnd"), o.Status("CapInh"), o.Status("CapPrm"), o.Status("CapEff"), o.Status("CapAmb")))) { Container = "user" },
        new Observed("process.capabilities", "none where none are given", "{}",
            o => Assert.Equal((None, None, None), (o.Status("CapBnd"), o.Status("CapEff"), o.Status("CapInh")))) { Container = "powerless", ByDefault = true },
        new Observed("process.capabilities", "an unknown one is ignored", """{"process":{"capabilities":{"bounding":["CAP_KILL","CAP_NO_SUCH"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"]}}}""",
            o => Assert.Equal(Kill, o.Status("CapBnd"))) { Container = "unknown capability" },
    ];

    /// <summary>Not NOFILE below its hard limit: Go's runtime raises it in runc, sometimes after runc has set it.</summary>
    private static IEnumerable<Clause> Limits =>
    [
        .. from limit in ((string Type, long Soft, long Hard)[])
            [("AS", 1L << 40, 1L << 41), ("CORE", 0, 4096), ("CPU", 1000, 2000), ("DATA", 1 << 30, 1L << 31), ("FSIZE", 1 << 28, 1 << 29),
             ("LOCKS", 10, 20), ("MEMLOCK", 4096, 8192), ("MSGQUEUE", 1000, 2000), ("NICE", 0, 0), ("NOFILE", 200, 200), ("NPROC", 500, 600),
             ("RSS", 1 << 30, 1L << 31), ("RTPRIO", 0, 0), ("RTTIME", 100000, 200000), ("SIGPENDING", 100, 200), ("STACK", 1 << 22, 1 << 23)]
            select new Observed("process.rlimits", $"RLIMIT_{limit.Type}",
                $$"""{"process":{"rlimits":[{"type":"RLIMIT_{{limit.Type}}","soft":{{limit.Soft}},"hard":{{limit.Hard}} }]} }""",
                o => Assert.Equal($"{limit.Soft}:{limit.Hard}", o.Limit($"RLIMIT_{limit.Type}"))) { ByDefault = limit.Hard == 0 },
        new Observed("process.rlimits", "can be unlimited", """{"process":{"rlimits":[{"type":"RLIMIT_MEMLOCK","soft":18446744073709551615,"hard":18446744073709551615}]}}""",
            o => Assert.Equal("-1:-1", o.Limit("RLIMIT_MEMLOCK"))) { Container = "raised", RuncCannot = NoSysResource },
    ];

    private static Clause[] Scheduling =>
    [
        .. Scheduler("SCHED_BATCH with a nice value", """{"policy":"SCHED_BATCH","nice":7}""", 3, 0, 7),
        .. Scheduler("SCHED_IDLE", """{"policy":"SCHED_IDLE"}""", 5, 0, 0),
        .. Scheduler("SCHED_FIFO with a priority", """{"policy":"SCHED_FIFO","priority":12}""", 1, 12, 0),
        .. Scheduler("SCHED_RR with a priority and a flag", """{"policy":"SCHED_RR","priority":3,"flags":["SCHED_FLAG_RESET_ON_FORK"]}""", 2 | 0x40000000, 3, 0),
        .. Scheduler("SCHED_DEADLINE", """{"policy":"SCHED_DEADLINE","runtime":10000000,"deadline":30000000,"period":30000000}""", 6, 0, 0),
        new Observed("process.ioPriority", "best effort", """{"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":3}}}""",
            o => Assert.Equal((2 << 13) | 3, o.Number("ioPriority"))) { Container = "best effort", RuncCannot = NewerThanRunc },
        new Observed("process.ioPriority", "idle", """{"process":{"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":0}}}""",
            o => Assert.Equal(3 << 13, o.Number("ioPriority"))) { Container = "idle", RuncCannot = NewerThanRunc },
    ];

    private static IEnumerable<Clause> Scheduler(string title, string scheduler, long policy, long priority, long nice) =>
    [
        new Observed("process.scheduler", title, $$"""{"process":{"scheduler":{{scheduler}},"capabilities":{"bounding":["CAP_SYS_NICE"],"effective":["CAP_SYS_NICE"],"permitted":["CAP_SYS_NICE"]} } }""",
            o => Assert.Equal((policy, priority, nice), (o.Number("schedulerPolicy"), o.Number("schedulerPriority"), o.Number("nice")))) { Container = title, RuncCannot = NewerThanRunc },
    ];
}
