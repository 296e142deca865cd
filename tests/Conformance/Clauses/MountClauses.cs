namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config.md, "Mounts" and "Linux mount options".</summary>
internal static class MountClauses
{
    private const string NewerThanRunc = "newer than runc 1.1";
    private const string Sysfs = """{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}""";

    public static IEnumerable<Clause> All => [.. Types, .. Binds, .. Places, .. Options, .. Recursive, .. Propagations, .. Mapped];

    private static Clause[] Types =>
    [
        On("proc", "shows the container's processes only", "{}", o => Assert.Equal(("proc", "1"), (o.Mount("/proc").Type, o.Answer("link:/proc/self"))), "link:/proc/self") with { ByDefault = true },
        Mount("tmpfs", "size and mode", """{"destination":"/sized","type":"tmpfs","source":"tmpfs","options":["size=65536k","mode=1750","uid=7","gid=8"]}""",
            o => Assert.Equal(("1021994 67108864", "d 1750 7 8 0:0"), (o.Answer("statfs:/sized"), o.Answer("stat:/sized"))), "statfs:/sized", "stat:/sized"),
        Mount("tmpfs", "has the mode of the directory that it covers", """{"destination":"/readonly","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal(("tmpfs", "d 0755 0 0 0:0"), (o.Mount("/readonly").Type, o.Answer("stat:/readonly"))), "stat:/readonly"),
        Mount("tmpfs", "tmpcopyup keeps what was there", """{"destination":"/copied","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}""",
            o => Assert.Equal(("tmpfs", "rootfs"), (o.Mount("/copied").Type, o.Answer("read:/copied/file"))), "read:/copied/file"),
        Mount("tmpfs", "covers what was there without tmpcopyup", """{"destination":"/masked","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal("", o.Answer("list:/masked")), "list:/masked") with { Container = "covered" },
        Mount("/dev/shm", "is there, writable, of the size asked for", """{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]}""",
            o => Assert.Equal(("1021994 67108864", "d 1777 0 0 0:0", "ok"), (o.Answer("statfs:/dev/shm"), o.Answer("stat:/dev/shm"), o.Answer("write:/dev/shm/x"))),
            "statfs:/dev/shm", "stat:/dev/shm", "write:/dev/shm/x"),
        Mount("/dev/mqueue", "shows the queues of the ipc namespace", """{"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]}""",
            o => Assert.Equal(("mqueue", "ok", "queue"), (o.Mount("/dev/mqueue").Type, o.Answer("mq:queue"), o.Answer("list:/dev/mqueue"))), "mq:queue", "list:/dev/mqueue"),
        On("devpts", "a new instance with a ptmx", "{}", o =>
        {
            Assert.Equal(("pts/ptmx", "ok"), (o.Answer("link:/dev/ptmx"), o.Answer("open:/dev/ptmx")));
            Assert.Equal("c 0666 0 0 5:2", o.Answer("stat:/dev/pts/ptmx"));
        }, "link:/dev/ptmx", "open:/dev/ptmx", "stat:/dev/pts/ptmx") with { ByDefault = true },
        Mount("sysfs", "read-only", Sysfs, o =>
        {
            Assert.Equal("sysfs", o.Mount("/sys").Type);
            Assert.Equal("EROFS", o.Answer("open:/sys/kernel/mm/transparent_hugepage/enabled"));
        }, "open:/sys/kernel/mm/transparent_hugepage/enabled"),
        Mount("sysfs", "shows the container's network devices only", Sysfs, o => Assert.Equal("lo", o.Answer("list:/sys/class/net")), "list:/sys/class/net"),
        On("cgroup", "read-only, with the container's own where it has a cgroup namespace", $$"""
            {"linux":{"namespaces":[{"type":"cgroup"}]},
             "mounts":[{{Sysfs}},{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}]}
            """, o =>
        {
            // Version 2, or the directory of one controller of version 1.
            var own = o.Answer("read:/sys/fs/cgroup/memory/cgroup.procs").StartsWith('E') ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
            Assert.Contains("1", o.Answer($"read:{own}/cgroup.procs").Split('\n'));
            Assert.Equal("EROFS", o.Answer($"mkdir:{own}/new"));
        }, "mkdir:/sys/fs/cgroup/new", "mkdir:/sys/fs/cgroup/memory/new", "read:/sys/fs/cgroup/cgroup.procs", "read:/sys/fs/cgroup/memory/cgroup.procs") with { Container = "cgroup mount" },
        Mount("hugetlbfs", "with a page size", """{"destination":"/huge","type":"hugetlbfs","source":"hugetlbfs","options":["pagesize=2M","mode=0770"]}""", o =>
            Assert.Equal(("hugetlbfs", "d 0770 0 0 0:0"), (o.Mount("/huge").Type, o.Answer("stat:/huge"))), "stat:/huge") with { Container = "hugetlbfs" },
    ];

    private static Clause[] Binds =>
    [
        Mount("bind", "a directory of the host", """{"destination":"/bound","type":"bind","source":"$HOST/tree","options":["bind"]}""",
            o => Assert.Equal(("host", "ok"), (o.Answer("read:/bound/file"), o.Answer("write:/bound/new"))), "read:/bound/file", "write:/bound/new"),
        Mount("bind", "a file of the host, whose place is made", """{"destination":"/made/by/bind","source":"$HOST/file","options":["rbind"]}""",
            o => Assert.Equal("host", o.Answer("read:/made/by/bind")), "read:/made/by/bind"),
        Mount("bind", "read-only", """{"destination":"/bound-ro","type":"bind","source":"$HOST/tree","options":["rbind","ro"]}""", o =>
        {
            Assert.Contains("ro", o.Mount("/bound-ro").Options);
            Assert.Equal(("host", "EROFS"), (o.Answer("read:/bound-ro/file"), o.Answer("write:/bound-ro/file")));
        }, "read:/bound-ro/file", "write:/bound-ro/file"),
        Mount("bind", "a source that is a symbolic link", """{"destination":"/bound-link","type":"bind","source":"$HOST/link","options":["bind"]}""",
            o => Assert.Equal("host", o.Answer("read:/bound-link/file")), "read:/bound-link/file"),
        Mount("bind", "a relative source is the bundle's", """{"destination":"/bound-relative","type":"bind","source":"host/tree","options":["bind"]}""",
            o => Assert.Equal("host", o.Answer("read:/bound-relative/file")), "read:/bound-relative/file"),
        Mount("bind", "flags", """{"destination":"/bound-flags","type":"bind","source":"$HOST/tree/sub","options":["bind","nosuid","nodev","noexec"]}""", o =>
        {
            Assert.Superset(new HashSet<string> { "nosuid", "nodev", "noexec" }, o.Mount("/bound-flags").Options.ToHashSet());
            Assert.Equal("EACCES", o.Answer("exec:/bound-flags/probe"));
        }, "exec:/bound-flags/probe"),
    ];

    private static Clause[] Places =>
    [
        Mount("destination", "is made where it is missing", """{"destination":"/made/for/mount","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal("tmpfs", o.Mount("/made/for/mount").Type)),
        Mount("destination", "a relative one is below the root", """{"destination":"made-relative","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal("tmpfs", o.Mount("/made-relative").Type)),
        Mount("destination", "mounts are made in their order", """{"destination":"/order","type":"tmpfs","source":"tmpfs"},{"destination":"/order/file","source":"$HOST/file","options":["bind"]}""",
            o => Assert.Equal(("tmpfs", "host"), (o.Mount("/order").Type, o.Answer("read:/order/file"))), "read:/order/file"),
        Mount("destination", "a later mount covers an earlier one", """{"destination":"/twice","source":"$HOST/tree","options":["bind"]},{"destination":"/twice","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal("", o.Answer("list:/twice")), "list:/twice"),
        Mount("destination", "a symbolic link is followed inside the root", """{"destination":"/link/through","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal("tmpfs", o.Mount("/dir/through").Type)),
        Mount("destination", "a symbolic link cannot lead out of the root", """{"destination":"/upward/kept","type":"tmpfs","source":"tmpfs"}""",
            o => Assert.Equal("tmpfs", o.Mount("/dir/kept").Type)),
    ];

    private static IEnumerable<Clause> Options =>
        from option in ((string Given, string Here, bool InSuper)[])
            [("ro", "ro", false), ("nosuid", "nosuid", false), ("nodev", "nodev", false), ("noexec", "noexec", false), ("noatime", "noatime", false),
             ("nodiratime", "nodiratime", false), ("relatime", "relatime", false), ("sync", "sync", true), ("dirsync", "dirsync", true)]
        select Mount("options", option.Given, $$"""{"destination":"/option/{{option.Given}}","type":"tmpfs","source":"tmpfs","options":["{{option.Given}}"]}""", o =>
            Assert.Contains(option.Here, option.InSuper ? o.Mount($"/option/{option.Given}").SuperOptions : o.Mount($"/option/{option.Given}").Options));

    /// <summary>An option that undoes the one before it, and those that the kernel shows by leaving something out.</summary>
    private static IEnumerable<Clause> Undone =>
        from option in ((string First, string Then, string Gone)[])
            [("ro", "rw", "ro"), ("nosuid", "suid", "nosuid"), ("nodev", "dev", "nodev"), ("noexec", "exec", "noexec"), ("noatime", "atime", "noatime"),
             ("nodiratime", "diratime", "nodiratime"), ("nosuid", "strictatime", "relatime")]
        select Mount("options", $"{option.Then} after {option.First}", $$"""{"destination":"/undone/{{option.Then}}","type":"tmpfs","source":"tmpfs","options":["{{option.First}}","{{option.Then}}"]}""",
            o => Assert.DoesNotContain(option.Gone, o.Mount($"/undone/{option.Then}").Options));

    private static IEnumerable<Clause> Recursive =>
    [
        .. Undone,
        Mount("options", "nosymfollow", """{"destination":"/followed","type":"bind","source":"$HOST","options":["bind","nosymfollow"]}""",
            o => Assert.Equal(("host", "ELOOP"), (o.Answer("read:/followed/file"), o.Answer("read:/followed/link/file"))),
            "read:/followed/file", "read:/followed/link/file") with { RuncCannot = NewerThanRunc },
        .. from option in ((string Given, string Here)[])
               [("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec"), ("rnoatime", "noatime"), ("rnodiratime", "nodiratime"), ("rrelatime", "relatime")]
           select Mount("options", option.Given, $$"""{"destination":"/recursive/{{option.Given}}","type":"bind","source":"$HOST/tree","options":["rbind","{{option.Given}}"]}""",
               o => Assert.Contains(option.Here, o.Mount($"/recursive/{option.Given}").Options)),
        .. from option in ((string First, string Then, string Gone)[])
               [("ro", "rrw", "ro"), ("nosuid", "rsuid", "nosuid"), ("nodev", "rdev", "nodev"), ("noexec", "rexec", "noexec"), ("noatime", "rstrictatime", "noatime"), ("nodiratime", "rdiratime", "nodiratime")]
           select Mount("options", $"{option.Then} after {option.First}", $$"""{"destination":"/recursive/{{option.Then}}","type":"bind","source":"$HOST/tree","options":["rbind","{{option.First}}","{{option.Then}}"]}""",
               o => Assert.DoesNotContain(option.Gone, o.Mount($"/recursive/{option.Then}").Options)),
        new Played("mounts", "options: rro reaches the mounts below, ro does not have to", RecursiveReadOnlyAsync),
        new Played("mounts", "bind: rbind shows the mounts below, bind does not", RecursiveBindAsync),
        new Played("mounts", "bind: what the process writes is on the host, and a read-only one is not", WrittenAsync),
    ];

    private static IEnumerable<Clause> Propagations =>
        from value in (string[])["private", "slave", "shared", "unbindable", "rprivate", "rslave", "rshared", "runbindable"]
        select Mount("options", value, $$"""{"destination":"/propagation/{{value}}","type":"tmpfs","source":"tmpfs","options":["{{value}}"]}""", o =>
        {
            var fields = o.Mount($"/propagation/{value}").Propagation;
            Assert.Equal(value.EndsWith("shared", StringComparison.Ordinal), fields.Any(field => field.StartsWith("shared:", StringComparison.Ordinal)));
            Assert.Equal(value.EndsWith("unbindable", StringComparison.Ordinal), fields.Contains("unbindable"));
        });

    private static Clause[] Mapped =>
    [
        .. from option in (string[])["idmap", "ridmap"]
           select Mount(option, "files appear with other owners", $$"""
               {"destination":"/mapped","type":"bind","source":"$HOST/tree","options":["rbind","{{option}}"],
                "uidMappings":[{"containerID":0,"hostID":1000,"size":10}],"gidMappings":[{"containerID":0,"hostID":2000,"size":10}]}
               """, o => Assert.Equal("f 0644 1000 2000 0:0", o.Answer("stat:/mapped/file")), "stat:/mapped/file") with { Container = option, RuncCannot = NewerThanRunc },
    ];

    private static Observed Mount(string what, string title, string mounts, Action<Observation> check, params string[] questions) =>
        On(what, title, $$"""{"mounts":[{{mounts}}]}""", check, questions);

    private static Observed On(string what, string title, string config, Action<Observation> check, params string[] questions) =>
        new("mounts", $"{what}: {title}", config, check, questions) { Container = "mounts" };

    private static async Task RecursiveReadOnlyAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        await MountedAsync($"{bundle.Host}/tree/sub", async () =>
        {
            var seen = await stage.ObserveAsync(bundle, ["""{"mounts":[{"destination":"/deep","type":"bind","source":"$HOST/tree","options":["rbind","rro"]}]}"""],
                ["write:/deep/new", "write:/deep/sub/new", "read:/deep/sub/below"]);
            Assert.Equal(("EROFS", "EROFS", "below"), (seen.Answer("write:/deep/new"), seen.Answer("write:/deep/sub/new"), seen.Answer("read:/deep/sub/below")));
        });
    }

    private static async Task RecursiveBindAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        await MountedAsync($"{bundle.Host}/tree/sub", async () =>
        {
            var seen = await stage.ObserveAsync(bundle,
                ["""{"mounts":[{"destination":"/deep","type":"bind","source":"$HOST/tree","options":["rbind"]},{"destination":"/flat","type":"bind","source":"$HOST/tree","options":["bind"]}]}"""],
                ["list:/deep/sub", "list:/flat/sub", "write:/deep/sub/new"]);
            Assert.Equal(("below", "file probe", "ok"), (seen.Answer("list:/deep/sub"), seen.Answer("list:/flat/sub"), seen.Answer("write:/deep/sub/new")));
        });
    }

    private static async Task WrittenAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        await stage.ObserveAsync(bundle,
            ["""
             {"mounts":[{"destination":"/rw","type":"bind","source":"$HOST/tree","options":["bind"]},{"destination":"/ro","type":"bind","source":"$HOST/tree","options":["bind","ro"]}],
              "process":{"user":{"uid":0,"gid":0,"umask":7}}}
             """],
            ["write:/rw/written,by the process", "write:/ro/unwritten,by the process"]);
        Assert.Equal("by the process", await File.ReadAllTextAsync($"{bundle.Host}/tree/written"));
        Assert.False(File.Exists($"{bundle.Host}/tree/unwritten"), "the host has what was written to a read-only mount");
    }

    /// <summary>With a tmpfs of the host, in which there is a file "below", at a place.</summary>
    private static async Task MountedAsync(string place, Func<Task> run)
    {
        var mounted = await HostCommand.RunAsync("mount", ["-t", "tmpfs", "tmpfs", place]);
        Assert.True(mounted.ExitCode == 0, mounted.ToString());
        try
        {
            await File.WriteAllTextAsync($"{place}/below", "below");
            await run();
        }
        finally
        {
            await HostCommand.RunAsync("umount", ["-l", place]);
        }
    }
}
