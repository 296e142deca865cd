namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config.md, "Root"; config-linux.md, "Default Devices", "Masked Paths", "Readonly Paths", "Rootfs Mount Propagation".</summary>
internal static class RootClauses
{
    public static IEnumerable<Clause> All => [.. Root, .. Hidden, .. Propagations];

    private static Clause[] Root =>
    [
        new Observed("root.readonly", "true", """{"root":{"readonly":true}}""", o =>
        {
            Assert.Contains("ro", o.Mount("/").Options);
            Assert.Equal(("EROFS", "EROFS"), (o.Answer("write:/new"), o.Answer("write:/dir/file")));
        }, "write:/new", "write:/dir/file") { Container = "readonly" },
        new Observed("root.readonly", "a remount does not undo it", """
            {"root":{"readonly":true},"process":{"capabilities":{"bounding":["CAP_KILL"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"]}}}
            """, o => Assert.Equal(("EPERM", "EROFS"), (o.Answer("remount:/"), o.Answer("write:/new"))), "remount:/", "write:/new") { Container = "readonly" },
        new Observed("root.readonly", "false: the process can write", "{}",
            o => Assert.Equal("ok", o.Answer("write:/written")), "write:/written") { ByDefault = true },
        new Observed("root.path", "an absolute path", """{"root":{"path":"$BUNDLE/rootfs"}}""",
            o => Assert.Equal("rootfs", o.Answer("read:/dir/file")), "read:/dir/file") { ByDefault = true },
        new Observed("root", "nothing of the runtime's root is left behind it", "{}", o =>
        {
            Assert.Equal("f 0755 0 0 0:0", o.Answer("stat:/probe"));
            Assert.Equal("ENOENT", o.Answer("stat:/dir/../../../../../usr"));
        }, "stat:/probe", "stat:/dir/../../../../../usr") { ByDefault = true },
    ];

    private static Clause[] Hidden =>
    [
        new Observed("linux.maskedPaths", "a file reads as empty", """{"linux":{"maskedPaths":["/masked-file"]}}""",
            o => Assert.Equal(("", "c 0666 0 0 1:3"), (o.Answer("read:/masked-file"), o.Answer("stat:/masked-file"))), "read:/masked-file", "stat:/masked-file"),
        new Observed("linux.maskedPaths", "a directory is empty and read-only", """{"linux":{"maskedPaths":["/masked"]}}""", o =>
            Assert.Equal(("", "EROFS"), (o.Answer("list:/masked"), o.Answer("write:/masked/new"))), "list:/masked", "write:/masked/new"),
        new Observed("linux.maskedPaths", "what does not exist is ignored", """{"linux":{"maskedPaths":["/no/such"]}}""",
            o => Assert.Equal("ENOENT", o.Answer("stat:/no/such")), "stat:/no/such") { ByDefault = true },
        new Observed("linux.maskedPaths", "the process cannot uncover them", """{"linux":{"maskedPaths":["/masked"]}}""",
            o => Assert.Equal(("EPERM", ""), (o.Answer("umount:/masked"), o.Answer("list:/masked"))), "umount:/masked", "list:/masked"),
        new Observed("linux.maskedPaths", "in proc and sys", """
            {"linux":{"maskedPaths":["/proc/kcore","/proc/keys","/sys/firmware"]},"mounts":[{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}]}
            """, o => Assert.Equal(("", ""), (o.Answer("read:/proc/keys"), o.Answer("list:/sys/firmware"))), "read:/proc/keys", "list:/sys/firmware"),
        new Observed("linux.readonlyPaths", "a file and a directory", """{"linux":{"readonlyPaths":["/readonly","/readonly-file"]}}""", o =>
        {
            Assert.Equal(("EROFS", "EROFS", "EROFS"), (o.Answer("write:/readonly/file"), o.Answer("write:/readonly/new"), o.Answer("write:/readonly-file")));
            Assert.Equal("rootfs", o.Answer("read:/readonly/file"));
        }, "write:/readonly/file", "write:/readonly/new", "write:/readonly-file", "read:/readonly/file"),
        new Observed("linux.readonlyPaths", "in proc", """{"linux":{"readonlyPaths":["/proc/sys"]}}""",
            o => Assert.Equal("EROFS", o.Answer("open:/proc/sys/kernel/msgmni")), "open:/proc/sys/kernel/msgmni") { Container = "readonly proc" },
        new Observed("linux.readonlyPaths", "what does not exist is ignored", """{"linux":{"readonlyPaths":["/no/such"]}}""",
            o => Assert.Equal("ENOENT", o.Answer("stat:/no/such")), "stat:/no/such") { ByDefault = true },
    ];

    private static IEnumerable<Clause> Propagations =>
        from value in (string[])["private", "slave", "shared", "unbindable", "rprivate", "rslave", "rshared", "runbindable"]
        let kind = value.TrimStart('r')
        select new Observed("linux.rootfsPropagation", value, $$"""{"linux":{"rootfsPropagation":"{{value}}"} }""",
            o => Assert.Equal((kind == "shared", kind == "unbindable"),
                (o.Mount("/").Propagation.Any(field => field.StartsWith("shared:", StringComparison.Ordinal)), o.Mount("/").Propagation.Contains("unbindable"))))
        {
            Container = $"propagation {value}",
            ByDefault = kind is "private" or "slave",
            RuncCannot = kind is "shared" or "unbindable" ? "runc 1.1 loses it when it changes the root" : null,
        };
}
