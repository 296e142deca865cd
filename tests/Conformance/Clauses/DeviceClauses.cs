namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config-linux.md, "Devices", "Default Devices", "Allowed Device list"; config.md, "Default symbolic links".</summary>
internal static class DeviceClauses
{
    /// <summary>The kernel's log, which is not one of the default devices.</summary>
    private const string Log = """{"path":"/dev/log-device","type":"c","major":1,"minor":11,"fileMode":438,"uid":0,"gid":0}""";
    private const string DenyAll = """{"allow":false,"access":"rwm"}""";

    public static IEnumerable<Clause> All =>
    [
        .. from device in ((string Name, string Numbers)[])
               [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")]
           select new Observed("default devices", $"/dev/{device.Name}", "{}", o =>
           {
               Assert.Equal($"c 0666 0 0 {device.Numbers}", o.Answer($"stat:/dev/{device.Name}"));
               if (device.Name != "tty")
                   Assert.Equal("ok", o.Answer($"open:/dev/{device.Name}"));
           }, $"stat:/dev/{device.Name}", $"open:/dev/{device.Name}") { ByDefault = true },
        .. from link in ((string Name, string Target)[])
               [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")]
           select new Observed("default symbolic links", $"/dev/{link.Name}", "{}",
               o => Assert.Equal(link.Target, o.Answer($"link:/dev/{link.Name}")), $"link:/dev/{link.Name}") { ByDefault = true },
        Made("a character device with mode and owner", """{"path":"/dev/made","type":"c","major":1,"minor":5,"fileMode":416,"uid":7,"gid":8}""", "/dev/made", "c 0640 7 8 1:5"),
        Made("in a directory of its own", """{"path":"/dev/deep/er/device","type":"c","major":1,"minor":7,"fileMode":384,"uid":0,"gid":0}""", "/dev/deep/er/device", "c 0600 0 0 1:7"),
        Made("an unbuffered one", """{"path":"/dev/unbuffered","type":"u","major":1,"minor":9,"fileMode":438}""", "/dev/unbuffered", "c 0666 0 0 1:9"),
        Made("a block device", """{"path":"/dev/block","type":"b","major":7,"minor":77,"fileMode":432,"uid":0,"gid":6}""", "/dev/block", "b 0660 0 6 7:77"),
        Made("a pipe", """{"path":"/dev/pipe","type":"p","fileMode":384,"uid":1,"gid":2}""", "/dev/pipe", "p 0600 1 2 0:0"),
        Made("outside /dev", """{"path":"/dir/device","type":"c","major":1,"minor":3,"fileMode":438,"uid":0,"gid":0}""", "/dir/device", "c 0666 0 0 1:3"),
        Made("in a user namespace with its owner there", """{"path":"/dev/mapped","type":"c","major":1,"minor":5,"fileMode":416,"uid":7,"gid":8}""", "/dev/mapped", "c 0640 7 8 1:5",
            """ "namespaces":[{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":100000,"size":1000}],"gidMappings":[{"containerID":0,"hostID":300000,"size":1000}],""")
            with { Container = "devices of a user namespace", RuncCannot = "runc 1.1 binds the host's node" },
        Opened("one that is not allowed cannot be opened", $"[{DenyAll}]", ("open:/dev/log-device", "EPERM"), ("open:/dev/log-device,r", "EPERM")),
        Opened("one that is allowed can be opened", $$"""[{{DenyAll}},{"allow":true,"type":"c","major":1,"minor":11,"access":"rw"}]""", ("open:/dev/log-device", "ok")),
        Opened("by access", $$"""[{{DenyAll}},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]""", ("open:/dev/log-device", "EPERM"), ("open:/dev/log-device,r", "ok")),
        Opened("by a major number alone", $$"""[{{DenyAll}},{"allow":true,"type":"c","major":1,"access":"rwm"}]""", ("open:/dev/log-device", "ok")),
        Opened("all of them", """[{"allow":true,"type":"a","access":"rwm"}]""", ("open:/dev/log-device", "ok")),
        Opened("a later rule counts", $$"""[{"allow":true,"type":"a","access":"rwm"},{"allow":false,"type":"c","major":1,"minor":11,"access":"rw"}]""", ("open:/dev/log-device", "EPERM")),
        Opened("the default ones stay", $"[{DenyAll}]", ("open:/dev/zero", "ok"), ("open:/dev/urandom", "ok"), ("open:/dev/ptmx", "ok")),
        Opened("nodes can be made where mknod is allowed, and not be opened", $"[{DenyAll}]", ("mknod:/dev/other,c,1,11", "ok"), ("open:/dev/other", "EPERM")),
    ];

    private static Observed Made(string title, string device, string path, string expected, string beside = "") =>
        new("linux.devices", title, $$"""{"linux":{ {{beside}} "devices":[{{device}}]} }""", o => Assert.Equal(expected, o.Answer($"stat:{path}")), $"stat:{path}") { Container = "devices" };

    private static Observed Opened(string title, string rules, params (string Question, string Answer)[] expected) =>
        new("linux.resources.devices", title, $$"""
            {"linux":{"devices":[{{Log}}],"resources":{"devices":{{rules}} } },
             "process":{"capabilities":{"bounding":["CAP_MKNOD","CAP_SYSLOG"],"effective":["CAP_MKNOD","CAP_SYSLOG"],"permitted":["CAP_MKNOD","CAP_SYSLOG"]} } }
            """,
            o => Assert.Equal(expected.Select(pair => pair.Answer), expected.Select(pair => o.Answer(pair.Question))),
            [.. expected.Select(pair => pair.Question)])
        { Container = title, ByDefault = title.StartsWith("the default", StringComparison.Ordinal) };
}
