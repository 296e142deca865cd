namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config-linux.md, "Seccomp". A filter's error is EPROTO or EBADFD, which these calls never give by themselves.</summary>
internal static class SeccompClauses
{
    private const int Eproto = 71, Ebadfd = 77;

    /// <summary>What the probe and the runtime's last steps need where all else is refused.</summary>
    private const string Needed = """
        "read","write","open","openat","close","fstat","newfstatat","lstat","stat","lseek","mmap","mprotect","munmap","brk","rt_sigaction","rt_sigprocmask","rt_sigreturn",
        "ioctl","access","faccessat","faccessat2","execve","exit","exit_group","uname","fcntl","getcwd","readlink","readlinkat","sched_getscheduler","sched_getparam",
        "sched_getaffinity","sched_yield","getpriority","ioprio_get","getrlimit","prlimit64","getpid","getppid","getsid","gettid","clone","clone3","fork","vfork","wait4",
        "futex","getdents64","arch_prctl","set_tid_address","set_robust_list","rseq","getrandom","prctl","pipe2","capget","capset","setuid","setgid","setgroups","chdir",
        "fchdir","epoll_ctl","epoll_pwait","epoll_wait","nanosleep","clock_nanosleep","tgkill","sigaltstack","clock_gettime","getuid","geteuid","getgid","getegid","statfs",
        "fstatfs","personality","dup3","madvise","getppid","kill","setsid","umask","close_range","waitid","poll","ppoll","mremap","restart_syscall","pwrite64","pread64"
        """;

    public static IEnumerable<Clause> All => [.. Actions, .. Operators, .. Others];

    private static Clause[] Actions =>
    [
        Filter("a filter is in force", """{"names":["iopl"],"action":"SCMP_ACT_ERRNO"}""", [], o => Assert.Equal("2", o.Status("Seccomp"))),
        Filter("SCMP_ACT_ERRNO with an errno", $$"""{"names":["getpgid"],"action":"SCMP_ACT_ERRNO","errnoRet":{{Eproto}} }""", [("call:getpgid,0", "EPROTO")]),
        Filter("SCMP_ACT_ERRNO is EPERM without one", """{"names":["memfd_create"],"action":"SCMP_ACT_ERRNO"}""", [("call:memfd_create,x,0", "EPERM")]),
        Filter("SCMP_ACT_KILL", """{"names":["epoll_create"],"action":"SCMP_ACT_KILL"}""", [("call:epoll_create,1", "SIGSYS")]),
        Filter("SCMP_ACT_KILL_PROCESS", """{"names":["eventfd2"],"action":"SCMP_ACT_KILL_PROCESS"}""", [("call:eventfd2,0,0", "SIGSYS")]),
        Filter("SCMP_ACT_KILL_THREAD", """{"names":["inotify_init1"],"action":"SCMP_ACT_KILL_THREAD"}""", [("call:inotify_init1,0", "SIGSYS")]),
        Filter("SCMP_ACT_TRAP", """{"names":["timerfd_create"],"action":"SCMP_ACT_TRAP"}""", [("call:timerfd_create,0,0", "SIGSYS")]),
        Filter("SCMP_ACT_TRACE without a tracer", """{"names":["swapoff"],"action":"SCMP_ACT_TRACE"}""", [("call:swapoff,/x", "ENOSYS")]),
        Filter("SCMP_ACT_LOG lets the call pass", """{"names":["socket"],"action":"SCMP_ACT_LOG"}""", [("call:socket,1,1,0", "ok")]) with { ByDefault = true },
        Filter("an unknown system call is ignored", $$"""{"names":["no_such_call","getsid"],"action":"SCMP_ACT_ERRNO","errnoRet":{{Eproto}} }""", [("call:getsid,0", "EPROTO")])
            with { Container = "seccomp unknown" },
        Default("a default action with an errno", $"{Needed},\"setresuid\",\"setresgid\""),
        Default("the calls that runc makes under it are enough", Needed),
    ];

    private static Clause[] Operators =>
    [
        Compared("SCMP_CMP_EQ", "dup", """{"index":0,"value":1000,"op":"SCMP_CMP_EQ"}""", "1000", "1001"),
        Compared("SCMP_CMP_NE", "fsync", """{"index":0,"value":2000,"op":"SCMP_CMP_NE"}""", "2001", "2000"),
        Compared("SCMP_CMP_LT", "fdatasync", """{"index":0,"value":500,"op":"SCMP_CMP_LT"}""", "499", "500"),
        Compared("SCMP_CMP_LE", "syncfs", """{"index":0,"value":500,"op":"SCMP_CMP_LE"}""", "500", "501"),
        Compared("SCMP_CMP_GT", "fchdir", """{"index":0,"value":500,"op":"SCMP_CMP_GT"}""", "501", "500"),
        Compared("SCMP_CMP_GE", "flock", """{"index":0,"value":500,"op":"SCMP_CMP_GE"}""", "500,1", "499,1"),
        Compared("SCMP_CMP_MASKED_EQ", "ftruncate", """{"index":0,"value":240,"valueTwo":80,"op":"SCMP_CMP_MASKED_EQ"}""", "4176,0", "4192,0"),
        Compared("several arguments, all of which must match", "fchmod", """{"index":0,"value":1000,"op":"SCMP_CMP_EQ"},{"index":1,"value":7,"op":"SCMP_CMP_EQ"}""", "1000,7", "1000,6"),
        Filter("64 bits of an argument are compared", $$"""{"names":["getpriority"],"action":"SCMP_ACT_ERRNO","errnoRet":{{Eproto}},"args":[{"index":1,"value":4294967299,"op":"SCMP_CMP_EQ"}]}""",
            [("call:getpriority,0,4294967299", "EPROTO"), ("call:getpriority,0,3", "ESRCH")]),
    ];

    private static Clause[] Others =>
    [
        new Observed("linux.seccomp", "a call of another architecture kills", """
            {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["syncfs"],"action":"SCMP_ACT_ERRNO"}]}}}
            """, o => Assert.Equal("SIGSYS", o.Answer("call32:")), "call32:") { Container = "seccomp one architecture" },
        new Observed("linux.seccomp", "several architectures", $$"""
            {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],
             "syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO","errnoRet":{{Eproto}} }]} } }
            """, o => Assert.Equal(("exit 71", "EPROTO"), (o.Answer("call32:"), o.Answer("call:getpid"))), "call32:", "call:getpid") { Container = "seccomp architectures" },
        new Observed("linux.seccomp", "flags", """
            {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"],"syscalls":[{"names":["syncfs"],"action":"SCMP_ACT_ERRNO"}]}}}
            """, o => Assert.Equal("2", o.Status("Seccomp"))) { Container = "seccomp flags", RuncCannot = "newer than runc 1.1" },
        new Observed("linux.seccomp", "holds with noNewPrivileges for another user", """
            {"process":{"user":{"uid":1000,"gid":1000},"noNewPrivileges":true},
             "linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["syncfs"],"action":"SCMP_ACT_ERRNO"}]}}}
            """, o => Assert.Equal(("2", "1", "EPERM"), (o.Status("Seccomp"), o.Status("NoNewPrivs"), o.Answer("call:syncfs,0"))), "call:syncfs,0") { Container = "seccomp user" },
        new Played("linux.seccomp", "a process that is added has the filter too", async stage =>
        {
            var (bundle, id) = (stage.NewBundle(), Stage.NewId());
            await stage.WriteAsync(bundle, ["""{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["syncfs"],"action":"SCMP_ACT_ERRNO"}]}}}"""], "/probe", "hold");
            await stage.ExpectAsync("run", "--detach", "--bundle", bundle.Path, id);
            var exec = await stage.Runtime.RunAsync("exec", id, "/probe", "call:syncfs,0");
            Assert.Contains("\"call:syncfs,0\":\"EPERM\"", exec.Text, StringComparison.Ordinal);
        }),
        new Refused("linux.seccomp", "an unknown action", "SCMP_ACT_NO_SUCH", """{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_NO_SUCH"}}}"""),
        new Refused("linux.seccomp", "an unknown operator", "SCMP_CMP_NO_SUCH",
            """{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["dup"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_NO_SUCH"}]}]}}}"""),
        new Refused("linux.seccomp", "an unknown architecture", "SCMP_ARCH_NO_SUCH", """{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_NO_SUCH"]}}}"""),
        new Played("linux.seccomp", "SCMP_ACT_NOTIFY tells the listener", NotifyAsync),
    ];

    private static Observed Default(string title, string allowed) => new("linux.seccomp", title, $$"""
        {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":{{Ebadfd}},"architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":[{{allowed}}],"action":"SCMP_ACT_ALLOW"}]} } }
        """, o => Assert.Equal(("EBADFD", "ok"), (o.Answer("call:syncfs,0"), o.Answer("call:getpid"))), "call:syncfs,0", "call:getpid") { Container = title };

    private static Observed Compared(string title, string call, string arguments, string matching, string other) => Filter(title,
        $$"""{"names":["{{call}}"],"action":"SCMP_ACT_ERRNO","errnoRet":{{Eproto}},"args":[{{arguments}}]}""",
        [($"call:{call},{matching}", "EPROTO"), ($"call:{call},{other}", "EBADF")]);

    private static Observed Filter(string title, string rule, (string Question, string Answer)[] expected, Action<Observation>? check = null) =>
        new("linux.seccomp", title, $$"""{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{rule}}]} } }""",
            check ?? (o => Assert.Equal(expected.Select(pair => pair.Answer), expected.Select(pair => o.Answer(pair.Question)))),
            [.. expected.Select(pair => pair.Question)])
        { Container = "seccomp" };

    /// <summary>The listener gets the container's state; it does not answer, so the call fails once the descriptor is gone.</summary>
    private static async Task NotifyAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        using var listener = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        listener.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint($"{bundle.Path}/notify"));
        listener.Listen();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var accepted = listener.AcceptAsync(limit.Token).AsTask();
        var seen = stage.ObserveAsync(bundle, ["""
            {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"$BUNDLE/notify","listenerMetadata":"meta","syscalls":[{"names":["syncfs"],"action":"SCMP_ACT_NOTIFY"}]}}}
            """], ["call:syncfs,0"]);
        if (await Task.WhenAny(seen, accepted) == seen)
            await seen;
        using var connection = await accepted;
        var state = new byte[65536];
        var length = await connection.ReceiveAsync(state, limit.Token);
        Assert.Contains("seccompFd", System.Text.Encoding.UTF8.GetString(state, 0, length), StringComparison.Ordinal);
        connection.Close();
        Assert.Equal("ENOSYS", (await seen).Answer("call:syncfs,0"));
    }
}
