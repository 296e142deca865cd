using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;

namespace KataLike.EndToEnd.Tests.MaliciousBundles;

/// <summary>Paths and symbolic links that lead out of the root file system.</summary>
public sealed class LeadingOutTests : MaliciousBundleCase
{
    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Links_of_the_root_file_system_lead_nowhere_but_into_it(string name)
    {
        var runtime = await TargetAsync(name);
        var climbing = "../../../../../../../../../.." + Outside;

        AssertRan(await TryAsync(runtime, $"ls {Outside}/t && grep -c ' {Outside}/t ' /proc/self/mounts",
            spec => Add(spec, Mount("/link/t", "tmpfs", "t")), Link("link", Outside)), "1");
        AssertRan(await TryAsync(runtime, $"grep -c ' {Outside}/t ' /proc/self/mounts",
            spec => Add(spec, Mount("/link/t", "tmpfs", "t")), Link("link", climbing)), "1");
        AssertRan(await TryAsync(runtime, $"cat {Outside}/made",
            spec => Add(spec, Mount("/dangling", "bind", "/etc/hostname", "bind", "ro")), Link("dangling", $"{Outside}/made")),
            File.ReadAllText("/etc/hostname").Trim());
        // runc 1.1 follows a /dev that is a link, and leaves its own links on the host.
        if (name == "katalike")
            AssertRan(await TryAsync(runtime, $"test -c {Outside}/null && echo node", WithoutDev, Link("dev", Outside)), "node");
        AssertRan(await TryAsync(runtime, "pwd", spec => spec["process"]!["cwd"] = "/link/cwd", bundle =>
        {
            Link("link", Outside)(bundle);
            System.IO.Directory.CreateDirectory($"{bundle.Rootfs}{Outside}/cwd");
        }), $"{Outside}/cwd");
        AssertRan(await TryAsync(runtime, "cat /kept/secret; ls /kept", spec =>
        {
            spec["linux"]!["maskedPaths"] = new JsonArray("/link/secret");
            spec["linux"]!["readonlyPaths"] = new JsonArray("/link");
        }, bundle =>
        {
            Link("link", Outside)(bundle);
            System.IO.Directory.CreateDirectory($"{bundle.Rootfs}/kept");
            File.WriteAllText($"{bundle.Rootfs}/kept/secret", "kept\n");
        }), "kept\nsecret");
        AssertRan(await TryAsync(runtime, "ls /link", spec => Add(spec, Mount("/link", "tmpfs", "t", "tmpcopyup")), bundle =>
        {
            Link("link", Outside)(bundle);
            System.IO.Directory.CreateDirectory(bundle.Rootfs + Outside);
            File.CreateSymbolicLink($"{bundle.Rootfs}{Outside}/copied", $"{Outside}/secret");
        }), "copied");

        AssertRefused(await TryAsync(runtime, "true", _ => { }, bundle =>
        {
            System.IO.Directory.Delete($"{bundle.Rootfs}/proc");
            Link("proc", Outside)(bundle);
        }), 1, "filesystem \\\"proc\\\" must be mounted on ordinary directory");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/loop/x", "tmpfs", "t")), Link("loop", "loop")),
            1, "too many levels of symbolic links");
        await AssertUnharmedAsync();
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Parents_of_the_root_are_the_root(string name)
    {
        var runtime = await TargetAsync(name);
        var up = "/../../../../../../../../.." + Outside;

        AssertRan(await TryAsync(runtime, $"grep -c ' {Outside}/m ' /proc/self/mounts; pwd; test -c {Outside}/node && echo node; ls {Outside}/masked", spec =>
        {
            Add(spec, Mount(up + "/m", "tmpfs", "t"), Mount(up[1..] + "/masked", "tmpfs", "t"));
            spec["process"]!["cwd"] = up + "/cwd";
            spec["linux"]!["devices"] = new JsonArray(new JsonObject
            {
                ["path"] = up + "/node",
                ["type"] = "c",
                ["major"] = 1,
                ["minor"] = 3,
            });
            spec["linux"]!["maskedPaths"] = new JsonArray(up + "/masked");
            spec["linux"]!["readonlyPaths"] = new JsonArray(up + "/m");
            spec["linux"]!["cgroupsPath"] = $"/../../../../{Id}-up";
            spec["root"]!["path"] = "x/../y/../rootfs";
        }), $"2\n{Outside}/cwd\nnode");
        AssertRefused(await TryAsync(runtime, "true", spec => Add(spec, Mount("/../../proc/self/../1", "tmpfs", "t"))), 1, "");
        AssertRefused(await TryAsync(runtime, "true", spec => spec["linux"]!["sysctl"] = new JsonObject { ["net/../../../kernel/core_pattern"] = "x" }), 1, "");
        await AssertUnharmedAsync();
    }

    private static Action<TestBundle> Link(string link, string target) => bundle =>
    {
        if (System.IO.Directory.Exists($"{bundle.Rootfs}/{link}"))
            System.IO.Directory.Delete($"{bundle.Rootfs}/{link}");
        File.CreateSymbolicLink($"{bundle.Rootfs}/{link}", target);
    };

    private static void WithoutDev(JsonNode spec)
    {
        var mounts = spec["mounts"]!.AsArray();
        foreach (var mount in mounts.Where(mount => mount!["destination"]!.ToString().StartsWith("/dev", StringComparison.Ordinal)).ToList())
            mounts.Remove(mount);
    }
}
