using System.Text;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.MaliciousBundles;

/// <summary>Things of the wrong kind or size, and text that is none.</summary>
public sealed class UnexpectedTests : MaliciousBundleCase
{
    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_device_a_file_or_a_link_in_the_place_of_a_directory_is_refused(string name)
    {
        var runtime = await TargetAsync(name);

        AssertRefused(await runtime.RunAsync("run", "--bundle", "/dev/null", Id), 1, "not a directory");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["root"]!["path"] = "/dev/null"), 1, name == "runc" ? "" : "not a directory");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["root"]!["path"] = "link", bundle =>
            System.IO.Directory.CreateSymbolicLink($"{bundle.Path}/link", "rootfs")), 1, "invalid rootfs: not an absolute path, or a symlink");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["root"]!["path"] = "up/rootfs", bundle =>
            System.IO.Directory.CreateSymbolicLink($"{bundle.Path}/up", ".")), 1, "invalid rootfs: not an absolute path, or a symlink");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/bin/busybox/x", "tmpfs", "t"))), 1, "not a directory");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/tmp", "bind", "/etc/hostname", "bind"))), 1, "not a directory");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/bin/busybox", "bind", Outside, "rbind"))), 1, "not a directory");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/proc", "tmpfs", "t"))), 1, "");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["process"]!["cwd"] = "/dev/null"), 1, "not a directory");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["linux"]!["maskedPaths"] = new JsonArray("/dev/null/x")), 1, "not a directory");
        AssertRefused(await TryAsync(runtime, "true", WithNodeInRoot, MakeNode), 1, "not a directory");
        await AssertUnharmedAsync();
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_mebibyte_of_environment_is_handed_over(string name)
    {
        var runtime = await TargetAsync(name);
        var result = await TryAsync(runtime, "env | grep -c ^V", spec =>
        {
            var environment = spec["process"]!["env"]!.AsArray();
            for (var i = 0; i < 1024; i++)
                environment.Add($"V{i}={new string('x', 1024)}");
        });
        AssertRan(result, "1024");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["process"]!["env"]!.AsArray().Add("V=" + new string('x', 1 << 20))),
            1, "argument list too long");
        await AssertUnharmedAsync();
    }

    [SkippableTheory]
    [InlineData("runc", "/../x")]
    [InlineData("katalike", "/../x")]
    public async Task An_id_that_is_no_name_is_refused(string name, string path)
    {
        var runtime = await TargetAsync(name);
        var bundle = Bundle("true");
        foreach (var id in (string[])["a/b", path, "../../etc", "..", "a b", "a\nb", "ä", "-"])
        {
            var result = await runtime.RunAsync("run", "--bundle", bundle.Path, "--", id);
            Assert.True(result.ExitCode == 1 || id == "-", result.ToString());
        }
        Assert.Equal(1, (await runtime.RunAsync("run", "--bundle", bundle.Path, new string('i', 2000))).ExitCode);
        await AssertUnharmedAsync();
    }

    [SkippableFact]
    public async Task The_name_of_the_sandbox_is_checked_too()
    {
        var runtime = await TargetAsync("katalike");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["annotations"]!["io.kubernetes.cri.sandbox-id"] = "../../x"), 1, "invalid container ID format");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["annotations"]!["io.kubernetes.cri.sandbox-id"] = "a\0b"), 1, "NUL");
        await AssertUnharmedAsync();
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Text_that_no_path_can_be_is_refused(string name)
    {
        var runtime = await TargetAsync(name);
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/a\0b", "tmpfs", "t"))), 1, "");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/x", "bind", "/etc\0/x", "bind"))), 1, "");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount($"/{new string('x', 300)}", "tmpfs", "t"))), 1, "file name too long");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/" + string.Join('/', Enumerable.Repeat("d", 3000)), "tmpfs", "t"))), 1, "file name too long");

        // Go replaces what is not UTF-8, and so names another file; we say so.
        var result = await TryAsync(runtime, "echo ran", spec => spec["hostname"] = "XX", bytes: config =>
        {
            config[config.AsSpan().IndexOf("XX"u8)] = 0xff;
            return config;
        });
        if (name == "katalike")
            AssertRefused(result, 1, "$: not UTF-8");
        AssertRefused(await TryAsync(runtime, "true", _ => { }, bytes: _ =>
            Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("{\"x\":", 20_000)) + "1" + new string('}', 20_000))), 1, "");
        await AssertUnharmedAsync();
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Ten_thousand_mounts_are_made(string name)
    {
        var runtime = await TargetAsync(name);
        AssertRan(await TryAsync(runtime, "grep -c ' /tmp/' /proc/self/mounts; cat /tmp/9999", spec => Add(spec,
            [.. Enumerable.Range(0, 9_999).Select(i => Mount($"/tmp/{i % 100}", "tmpfs", "t")), Mount("/tmp/9999", "bind", "/etc/hostname", "bind")])),
            $"10000\n{File.ReadAllText("/etc/hostname").Trim()}");
        var tooMany = await TryAsync(runtime, "true", spec => Add(spec, [.. Enumerable.Range(0, 20_000).Select(i => Mount($"/tmp/{i % 100}", "tmpfs", "t"))]));
        if (name == "katalike")
            AssertRefused(tooMany, 1, "$.mounts: 20003 mounts are too many, 16000 at most are supported");
        await AssertUnharmedAsync();
    }

    private static void WithNodeInRoot(JsonNode spec) => Add(spec, Mount("/node/x", "tmpfs", "t"));

    private static void MakeNode(TestBundle bundle) =>
        HostCommand.RunAsync("/bin/mknod", [$"{bundle.Rootfs}/node", "c", "1", "3"]).GetAwaiter().GetResult();
}
