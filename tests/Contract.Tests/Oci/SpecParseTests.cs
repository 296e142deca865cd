using System.Text;
using System.Text.Json.Nodes;
using KataLike.Contract.Oci;

namespace KataLike.Contract.Tests.Oci;

/// <summary>Which line of config.json an error names, and that what is allowed is let through.</summary>
public sealed class SpecParseTests
{
    /// <summary>Sets one value of the default bundle ("/" separates; a number is an index), or removes it.</summary>
    private static byte[] With(string where, string? value)
    {
        var root = JsonNode.Parse(Spec.Default().ToJson())!;
        string[] steps = where.Split('/');
        var parent = root;
        foreach (string step in steps[..^1])
            parent = int.TryParse(step, out int index) ? parent![index] : parent![step] ?? (parent[step] = new JsonObject());
        if (int.TryParse(steps[^1], out int last))
            parent![last] = JsonNode.Parse(value!);
        else if (value is null)
            _ = parent!.AsObject().Remove(steps[^1]);
        else
            parent![steps[^1]] = JsonNode.Parse(value);
        return Encoding.UTF8.GetBytes(root.ToJsonString());
    }

    [Theory]
    [InlineData("ociVersion", null, "$.ociVersion: is missing")]
    [InlineData("ociVersion", "\"2.0.0\"", "$.ociVersion: version 2.0.0 is not supported, 1.x is")]
    [InlineData("ociVersion", "1", "$.ociVersion: must be a string")]
    [InlineData("process", null, "$.process: is missing")]
    [InlineData("process", "[]", "$.process: must be an object")]
    [InlineData("process/args", null, "$.process.args: must not be empty")]
    [InlineData("process/args", "[]", "$.process.args: must not be empty")]
    [InlineData("process/args", "\"sh\"", "$.process.args: must be an array")]
    [InlineData("process/args", "[\"sh\", null]", "$.process.args[1]: must be a string")]
    [InlineData("process/args", "[\"a\\u0000b\"]", "$.process.args[0]: must not contain a NUL character")]
    [InlineData("process/cwd", null, "$.process.cwd: is missing")]
    [InlineData("process/cwd", "\"\"", "$.process.cwd: must not be empty")]
    [InlineData("process/cwd", "\"tmp\"", "$.process.cwd: tmp must be an absolute path")]
    [InlineData("process/env", "[\"A=b\", \"PATH\"]", "$.process.env[1]: PATH must be of the form NAME=VALUE")]
    [InlineData("process/user/uid", "-1", "$.process.user.uid: must be a whole number within its range")]
    [InlineData("process/user/uid", "\"0\"", "$.process.user.uid: must be a whole number within its range")]
    [InlineData("process/terminal", "1", "$.process.terminal: must be true or false")]
    [InlineData("process/rlimits/0/type", "\"RLIMIT_FILES\"", "$.process.rlimits[0].type: unknown value RLIMIT_FILES")]
    [InlineData("process/rlimits/0/soft", "2000", "$.process.rlimits[0].soft: 2000 exceeds the hard limit 1024")]
    [InlineData("process/rlimits", "[{\"type\":\"RLIMIT_CPU\"},{\"type\":\"RLIMIT_CPU\"}]",
        "$.process.rlimits[1].type: RLIMIT_CPU is given twice")]
    [InlineData("process/rlimits", "[null]", "$.process.rlimits[0]: must be an object")]
    [InlineData("root", null, "$.root: is missing")]
    [InlineData("root/path", null, "$.root.path: is missing")]
    [InlineData("root/path", "\"\"", "$.root.path: must not be empty")]
    [InlineData("mounts/1/destination", null, "$.mounts[1].destination: is missing")]
    [InlineData("mounts/2", "null", "$.mounts[2]: must be an object")]
    [InlineData("hooks", "{\"poststop\":[{\"path\":\"a\"}]}", "$.hooks.poststop[0].path: a must be an absolute path")]
    [InlineData("hooks", "{\"prestart\":[{\"path\":\"/a\",\"timeout\":0}]}", "$.hooks.prestart[0].timeout: must be greater than zero")]
    [InlineData("annotations", "{\"a\\u0000\":\"b\"}", "$.annotations: must not have a key with a NUL character")]
    [InlineData("annotations", "{\"a\":null}", "$.annotations['a']: must be a string")]
    [InlineData("linux/namespaces/0/type", "\"pids\"", "$.linux.namespaces[0].type: unknown value pids")]
    [InlineData("linux/namespaces/1/type", "\"pid\"", "$.linux.namespaces[1].type: namespace pid is given twice")]
    [InlineData("linux/namespaces/1/path", "\"net\"", "$.linux.namespaces[1].path: net must be an absolute path")]
    [InlineData("linux/namespaces", "[{\"type\":\"mount\"}]", "$.hostname: needs a uts namespace")]
    [InlineData("linux/namespaces", "[{\"type\":\"uts\"}]", "$.linux.maskedPaths: needs a mount namespace")]
    [InlineData("linux/uidMappings", "[{\"containerID\":0,\"hostID\":0,\"size\":1}]", "$.linux.uidMappings: needs a user namespace")]
    [InlineData("linux/devices", "[{\"path\":\"/dev/x\",\"type\":\"x\"}]", "$.linux.devices[0].type: unknown value x")]
    [InlineData("linux/devices", "[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":-1}]", "$.linux.devices[0].major: -1 must be 0 to 4095")]
    [InlineData("linux/devices", "[{\"path\":\"/dev/x\",\"type\":\"b\",\"minor\":1048576}]", "$.linux.devices[0].minor: 1048576 must be 0 to 1048575")]
    [InlineData("linux/sysctl", "{\"kernel.panic\":\"1\"}", "$.linux.sysctl['kernel.panic']: sysctl \"kernel.panic\" is not in a separate kernel namespace")]
    [InlineData("linux/sysctl", "{\"kernel/hostname\":\"x\"}",
        "$.linux.sysctl['kernel/hostname']: sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" field")]
    [InlineData("mounts/0/options", "[\"rbind\",\"idmap\"]", "$.mounts[0].options: idmap needs uidMappings of the mount, or of a user namespace")]
    [InlineData("mounts/0/uidMappings", "[{\"containerID\":0,\"hostID\":0,\"size\":0}]", "$.mounts[0].uidMappings[0].size: must be greater than zero")]
    [InlineData("mounts/0/gidMappings", "[{\"containerID\":0,\"hostID\":4294967295,\"size\":2}]", "$.mounts[0].gidMappings[0]: the range exceeds the ids that there are")]
    [InlineData("mounts/0/uidMappings", "[{\"containerID\":0,\"hostID\":0,\"size\":1}]", "$.mounts[0]: id-mapped mounts must have both uid and gid mappings specified")]
    [InlineData("linux/rootfsPropagation", "\"public\"", "$.linux.rootfsPropagation: unknown value public")]
    [InlineData("linux/timeOffsets", "{\"monotonic\":null}", "$.linux.timeOffsets['monotonic']: must be an object")]
    [InlineData("linux/resources/devices/0/access", "\"rwx\"", "$.linux.resources.devices[0].access: rwx must be of the letters rwm")]
    [InlineData("linux/resources/memory", "{\"limit\":1.5}", "$.linux.resources.memory.limit: must be a whole number within its range")]
    [InlineData("linux/resources/unified", "{\"../../cgroup.procs\":\"1\"}",
        "$.linux.resources.unified['../../cgroup.procs']: must be the name of a cgroup file")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"ALLOW\"}", "$.linux.seccomp.defaultAction: unknown value ALLOW")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_ALLOW\"}]}",
        "$.linux.seccomp.syscalls[0].names: must not be empty")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"]}]}",
        "$.linux.seccomp.syscalls[0].action: is missing")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}",
        "$.linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW returns no error number")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":65536}",
        "$.linux.seccomp.defaultErrnoRet: 65536 must be at most 65535")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"x86\"]}",
        "$.linux.seccomp.architectures[0]: unknown value x86")]
    [InlineData("linux/seccomp", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"LOG\"]}",
        "$.linux.seccomp.flags[0]: unknown value LOG")]
    public void ErrorNamesThePath(string where, string? value, string message) =>
        Assert.Equal(message, Assert.Throws<OciException>(() => Spec.Parse(With(where, value))).Message);

    [Theory]
    [InlineData("process/capabilities/bounding", "[\"CAP_OF_THE_FUTURE\"]")]
    [InlineData("somethingNew", "{\"a\":[null]}")]
    [InlineData("mounts/0/destination", "\"proc\"")]
    [InlineData("mounts", "null")]
    [InlineData("mounts", null)]
    [InlineData("linux/sysctl", "{\"net.ipv4.ip_forward\":\"1\",\"net/core/somaxconn\":\"1\",\"kernel.msgmax\":\"1\",\"fs.mqueue.msg_max\":\"1\",\"kernel.domainname\":\"x\"}")]
    [InlineData("linux/devices", "[{\"path\":\"/dev/x\",\"type\":\"p\",\"major\":-1}]")]
    [InlineData("hostname", "null")]
    [InlineData("process/user", "null")]
    [InlineData("annotations", "{\"ä b\":\"\"}")]
    [InlineData("linux/resources/memory", "{\"limit\":-1,\"swap\":9223372036854775807}")]
    [InlineData("process/rlimits", "[{\"type\":\"RLIMIT_CORE\",\"hard\":18446744073709551615,\"soft\":0}]")]
    [InlineData("ociVersion", "\"1.3.0\"")]
    public void WhatIsAllowedPasses(string where, string? value) => _ = Spec.Parse(With(where, value));

    [Fact]
    public void MountsAreCounted()
    {
        static byte[] Many(int count) => With("mounts", $"[{string.Join(',', Enumerable.Repeat("{\"destination\":\"/x\"}", count))}]");
        Assert.Equal(16_000, Spec.Parse(Many(16_000)).Mounts!.Count);
        Assert.Equal("$.mounts: 16001 mounts are too many, 16000 at most are supported", Assert.Throws<OciException>(() => Spec.Parse(Many(16_001))).Message);
    }

    [Fact]
    public void UserIsRootWhereItIsMissing() =>
        Assert.Equal(0u, Spec.Parse(With("process/user", null)).Process!.User.Uid);

    [Theory]
    [InlineData("", "$: ")]
    [InlineData("null", "$: must be an object")]
    [InlineData("[]", "$: must be an object")]
    [InlineData("{\"ociVersion\": \"1.0.0\",", "$: ")]
    [InlineData("{} trailing", "$")]
    public void WhatIsNotJsonSaysSo(string json, string start) =>
        Assert.StartsWith(start, Assert.Throws<OciException>(() => Spec.Parse(Encoding.UTF8.GetBytes(json))).Message);

    [Fact]
    public void SyntaxErrorTellsTheLine()
    {
        var error = Assert.Throws<OciException>(() => Spec.Parse("{\n\"process\": {\n\"args\": [sh]\n}}"u8));
        Assert.Equal("$", error.Path);
        Assert.EndsWith("(line 3)", error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void EncodingDepthAndSizeAreLimited()
    {
        byte[] invalid = With("hostname", "\"name\"");
        invalid[invalid.AsSpan().IndexOf("name\""u8)] = 0xff;
        Assert.Equal("$: not UTF-8", Assert.Throws<OciException>(() => Spec.Parse(invalid)).Message);

        string deep = string.Concat(Enumerable.Repeat("{\"x\":", 10_000)) + "1" + new string('}', 10_000);
        _ = Assert.Throws<OciException>(() => Spec.Parse(Encoding.UTF8.GetBytes(deep)));

        byte[] large = new byte[(16 << 20) + 1];
        Assert.Equal(
            "$: 16777217 bytes exceed the limit of 16777216", Assert.Throws<OciException>(() => Spec.Parse(large)).Message);
    }

    [Theory]
    [InlineData("""{"cwd":"\ud800"}""", "$.cwd: holds half of a surrogate pair")]
    [InlineData("""{"cwd":"/","args":["\udc00"]}""", "$.args[0]: holds half of a surrogate pair")]
    public void HalvesOfSurrogatePairsAreRefused(string json, string message) => Assert.Equal(
        message, Assert.Throws<OciException>(() => ProcessSpec.Parse(Encoding.UTF8.GetBytes(json))).Message);

    [Fact]
    public void KeyWithHalfOfASurrogatePairIsRefused()
    {
        var error = Assert.Throws<OciException>(() => Resources.Parse("""{"unified":{"\ud800":"1"}}"""u8));
        Assert.Equal("$.unified: has a key with half of a surrogate pair", error.Message);
    }

    [Fact]
    public void ExecsProcessIsCheckedTheSame()
    {
        Assert.Equal(["sh"], ProcessSpec.Parse("""{"cwd":"/","args":["sh"]}"""u8).Args);
        var error = Assert.Throws<OciException>(() => ProcessSpec.Parse("""{"cwd":"/"}"""u8));
        Assert.Equal("$.args: must not be empty", error.Message);
    }

    [Fact]
    public void UpdatesResourcesAreCheckedTheSame()
    {
        Assert.Equal(-1, Resources.Parse("""{"cpu":{"quota":-1}}"""u8).Cpu!.Quota);
        var error = Assert.Throws<OciException>(() => Resources.Parse("""{"hugepageLimits":[{"pageSize":""}]}"""u8));
        Assert.Equal("$.hugepageLimits[0].pageSize: must not be empty", error.Message);
    }
}
