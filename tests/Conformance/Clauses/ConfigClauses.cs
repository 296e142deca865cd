namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config.md: what a document must have, and what must be ignored in it.</summary>
internal static class ConfigClauses
{
    private const string NotChecked = "runc 1.1 does not look at it";

    public static Clause[] All =>
    [
        new Refused("ociVersion", "another major version", "ociVersion", """{"ociVersion":"2.0.0"}""") { RuncCannot = NotChecked },
        new Refused("ociVersion", "not a version", "ociVersion", """{"ociVersion":"latest"}""") { RuncCannot = NotChecked },
        new Observed("ociVersion", "1.3.0", """{"ociVersion":"1.3.0"}""", o => Assert.Equal(1, o.Number("pid"))) { Container = "newest", ByDefault = true },
        new Observed("extensibility", "unknown properties are ignored", """
            {"noSuchProperty":{"a":[1]},"process":{"noSuchProperty":true},"linux":{"noSuchProperty":"x","resources":{"noSuchProperty":{}}},"annotations":{"org.example.unknown":"value"}}
            """, o => Assert.Equal(1, o.Number("pid"))) { ByDefault = true },
        new Observed("extensibility", "properties of other platforms are ignored", """{"windows":{"layerFolders":["C:\\x"]},"solaris":{},"zos":{}}""",
            o => Assert.Equal(1, o.Number("pid"))) { ByDefault = true },
        new Refused("process", "missing", "process", """{"process=":null}"""),
        new Refused("process.args", "empty", "args", """{"process":{"args":[]}}"""),
        new Refused("process.cwd", "relative", "cwd", """{"process":{"cwd":"dir"}}"""),
        new Refused("process.cwd", "empty", "cwd", """{"process":{"cwd":""}}"""),
        new Refused("process.rlimits", "an unknown one", "RLIMIT_NO_SUCH", """{"process":{"rlimits":[{"type":"RLIMIT_NO_SUCH","soft":1,"hard":1}]}}"""),
        new Refused("process.args", "a program that is not there", "no such file or directory", """{"process":{"args":["/no/such/program"]}}"""),
        new Refused("root", "missing", "root", """{"root=":null}"""),
        new Refused("root.path", "a directory that is not there", "no such file or directory", """{"root":{"path":"no-such-rootfs"}}"""),
        new Refused("mounts", "a source that is not there", "no such file or directory", """{"mounts":[{"destination":"/x","source":"$HOST/no/such","options":["bind"]}]}"""),
        new Refused("mounts", "an unknown type", "no such device", """{"mounts":[{"destination":"/x","type":"no-such-fs","source":"x"}]}"""),
        new Refused("mounts", "an option that the file system does not know", "invalid argument", """{"mounts":[{"destination":"/x","type":"tmpfs","source":"x","options":["no-such-option=1"]}]}"""),
        new Refused("mounts", "a directory over a file", "not a directory", """{"mounts":[{"destination":"/dir/file","source":"$HOST/tree","options":["bind"]}]}"""),
        new Refused("linux.namespaces", "twice the same", "pid", """{"linux":{"namespaces":[{"type":"pid","path":""}]}}"""),
        new Refused("linux.namespaces", "an unknown type", "namespace", """{"linux":{"namespaces":[{"type":"no-such-namespace"}]}}"""),
        new Refused("linux.maskedPaths", "without a mount namespace", "namespace", """{"linux":{"namespaces=":[{"type":"pid"}],"maskedPaths":["/masked"]}}"""),
        new Refused("linux.rootfsPropagation", "an unknown value", "rootfsPropagation", """{"linux":{"rootfsPropagation":"no-such"}}"""),
        new Refused("linux.devices", "an unknown type", "device", """{"linux":{"devices":[{"path":"/dev/x","type":"x","major":1,"minor":1}]}}"""),
        new Refused("hooks", "a program that is not there", "no such file or directory", """{"hooks":{"createRuntime":[{"path":"/no/such/hook"}]}}"""),
    ];
}
