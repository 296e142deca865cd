using System.Diagnostics;
using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests.Clauses;

/// <summary>runtime.md: "State", "Operations"; config.md, "Annotations", "terminal", "consoleSize"; features.md.</summary>
internal static class StateClauses
{
    public static Clause[] All =>
    [
        new Played("state", "id, status, pid, bundle and annotations through a container's life", LifeAsync),
        new Played("state", "of a container that does not exist is an error", async stage =>
            Assert.Equal(1, (await stage.Runtime.RunAsync("state", Stage.NewId())).ExitCode)),
        new Played("create", "an id that is in use is an error, and changes nothing", async stage =>
        {
            var bundle = stage.NewBundle();
            await stage.WriteAsync(bundle, [], "/probe", "hold");
            Assert.Equal(1, (await stage.Runtime.RunAsync("create", "--bundle", bundle.Path, stage.HolderId)).ExitCode);
            Assert.Equal("running", (string?)(await stage.StateAsync(stage.HolderId))["status"]);
        }),
        new Played("create", "changes of config.json afterwards have no effect", async stage =>
        {
            var (bundle, id) = (stage.NewBundle(), Stage.NewId());
            await stage.WriteAsync(bundle, ["""{"annotations":{"a":"before"}}"""], "/probe", "hold");
            await stage.ExpectAsync("create", "--bundle", bundle.Path, id);
            await stage.WriteAsync(bundle, ["""{"annotations":{"a":"after"}}"""], "/no/such");
            await stage.ExpectAsync("start", id);
            Assert.Equal(("running", "before"), ((string?)(await stage.StateAsync(id))["status"], (string?)(await stage.StateAsync(id))["annotations"]!["a"]));
        }),
        new Played("process.terminal", "standard streams are a terminal of the size asked for, which leads the session", TerminalAsync),
        new Played("features", "names versions, hooks, mount options, namespaces, capabilities and seccomp", FeaturesAsync),
    ];

    private static async Task LifeAsync(Stage stage)
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        await stage.WriteAsync(bundle, ["""{"annotations":{"org.example.key":"value \" \u00e9"}}"""], "/probe", "hold");
        await stage.ExpectAsync("create", "--bundle", bundle.Path, id);
        var state = await stage.StateAsync(id);
        Assert.StartsWith("1.", (string?)state["ociVersion"], StringComparison.Ordinal);
        Assert.Equal((id, "created", bundle.Path, "value \" \u00e9"), ((string?)state["id"], (string?)state["status"], (string?)state["bundle"], (string?)state["annotations"]!["org.example.key"]));
        Assert.True((long)state["pid"]! > 0 && Directory.Exists($"/proc/{state["pid"]}"), $"{state}");

        await stage.ExpectAsync("start", id);
        Assert.Equal("running", (string?)(await stage.StateAsync(id))["status"]);
        await stage.StopAsync(id);
        Assert.Equal(0, (long)((await stage.StateAsync(id))["pid"] ?? 0));
        await stage.ExpectAsync("delete", id);
        Assert.Equal(1, (await stage.Runtime.RunAsync("state", id)).ExitCode);
    }

    private static async Task TerminalAsync(Stage stage)
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        var socket = $"{bundle.Path}/t";
        await stage.WriteAsync(bundle, ["""{"process":{"terminal":true,"consoleSize":{"height":33,"width":101}}}"""], "/probe", "stat:/dev/console", "open:/dev/tty");
        using var receiver = Process.Start(new ProcessStartInfo(stage.Probe, ["terminal", socket]) { RedirectStandardOutput = true })!;
        try
        {
            await Eventually.HoldsAsync(() => Task.FromResult(File.Exists(socket)), "the receiver listens");
            var output = receiver.StandardOutput.ReadToEndAsync();
            await stage.ExpectAsync("run", "--detach", "--bundle", bundle.Path, "--console-socket", socket, id);
            var text = await output.WaitAsync(TimeSpan.FromSeconds(60));
            Assert.True(text.StartsWith('{'), text);
            var seen = new Observation(JsonNode.Parse(text)!, null);
            Assert.Equal(("/dev/pts/0", 33, 101, "ok"), (seen.Text("terminal"), seen.Number("rows"), seen.Number("columns"), seen.Answer("open:/dev/tty")));
            Assert.StartsWith("c 06", seen.Answer("stat:/dev/console"), StringComparison.Ordinal);
        }
        finally
        {
            receiver.Kill();
        }
    }

    private static async Task FeaturesAsync(Stage stage)
    {
        var result = await stage.Runtime.RunAsync("features");
        Assert.True(result.ExitCode == 0, result.ToString());
        var features = JsonNode.Parse(result.Text)!;
        Assert.StartsWith("1.", (string?)features["ociVersionMin"], StringComparison.Ordinal);
        Assert.StartsWith("1.", (string?)features["ociVersionMax"], StringComparison.Ordinal);
        Contains(features["hooks"], "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop");
        Contains(features["mountOptions"], "bind", "rbind", "ro", "rro", "nosuid", "rnosuid", "noexec", "shared", "rslave", "tmpcopyup");
        var linux = features["linux"]!;
        Contains(linux["namespaces"], "cgroup", "ipc", "mount", "network", "pid", "user", "uts");
        Contains(linux["capabilities"], "CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_BPF");
        var seccomp = linux["seccomp"]!;
        Assert.True((bool)seccomp["enabled"]!);
        Contains(seccomp["actions"], "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP");
        Contains(seccomp["operators"], "SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GT", "SCMP_CMP_GE", "SCMP_CMP_MASKED_EQ");
        Contains(seccomp["archs"], "SCMP_ARCH_X86_64", "SCMP_ARCH_X86");
    }

    private static void Contains(JsonNode? list, params string[] expected) =>
        Assert.Superset(expected.ToHashSet(), list!.AsArray().Select(item => (string)item!).ToHashSet());
}
