using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config.md, "POSIX-platform Hooks"; runtime.md, "Lifecycle". The hooks are the probe, which writes down what it sees.</summary>
internal static class HookClauses
{
    private static readonly string[] OnTheHost = ["prestart", "createRuntime", "poststart", "poststop"];

    public static IEnumerable<Clause> All =>
    [
        new Played("hooks", "prestart, createRuntime and poststop run at their time, in the runtime's namespaces", HostAsync),
        new Played("hooks.poststart", "runs after the process was started", PoststartAsync) { RuncCannot = "runc 1.1 runs it at the end of create" },
        new Played("hooks", "each gets the state on its standard input", StateAsync),
        new Played("hooks", "arguments and environment are those given", EnvironmentAsync),
        new Played("hooks", "several of a kind run in their order", OrderAsync),
        new Played("hooks.startContainer", "runs in the container, before its process", StartContainerAsync),
        new Played("hooks.createContainer", "runs in the container's namespaces", CreateContainerAsync),
        .. from kind in (string[])["prestart", "createRuntime", "createContainer"]
           select new Played($"hooks.{kind}", "one that fails ends the creation", stage => FailsAsync(stage, kind, "fail", atStart: false)),
        new Played("hooks.startContainer", "one that fails ends the start", stage => FailsAsync(stage, "startContainer", "fail", atStart: true)),
        .. from kind in (string[])["createRuntime", "createContainer"]
           select new Played($"hooks.{kind}", "one that exceeds its timeout is an error", stage => FailsAsync(stage, kind, "wait", atStart: false)),
        new Played("hooks.poststop", "one that fails keeps the container from nothing", stage => PoststopFailsAsync(stage, [])),
        new Played("hooks.poststop", "those after one that fails run", stage => PoststopFailsAsync(stage, ["second"])) { RuncCannot = "runc 1.1 leaves them out" },
    ];

    private static async Task HostAsync(Stage stage)
    {
        var (bundle, id) = await WithHostHooksAsync(stage);
        await stage.ExpectAsync("create", "--bundle", bundle.Path, id);
        Assert.Equal(["prestart", "createRuntime"], Names(bundle).Except(["poststart"]));
        await stage.ExpectAsync("start", id);
        Assert.DoesNotContain("poststop", Names(bundle));
        await stage.ExpectAsync("delete", "--force", id);
        Assert.Equal(OnTheHost, Names(bundle));
        foreach (var hook in Log(bundle))
        {
            foreach (var kind in (string[])["pid", "net", "mnt", "ipc", "uts"])
                Assert.Equal(new FileInfo($"/proc/self/ns/{kind}").LinkTarget, (string?)hook["namespaces"]![kind]);
        }
    }

    private static async Task PoststartAsync(Stage stage)
    {
        var (bundle, id) = await WithHostHooksAsync(stage);
        await stage.ExpectAsync("create", "--bundle", bundle.Path, id);
        Assert.DoesNotContain("poststart", Names(bundle));
        await stage.ExpectAsync("start", id);
        Assert.Equal("poststart", Names(bundle).Last());
        Assert.Equal("running", (string?)JsonNode.Parse((string)Log(bundle)[^1]["input"]!)!["status"]);
        await stage.ExpectAsync("delete", "--force", id);
    }

    private static async Task StateAsync(Stage stage)
    {
        var (bundle, id) = await WithHostHooksAsync(stage, """{"annotations":{"org.example.hooked":"yes"}}""");
        await stage.ExpectAsync("run", "--detach", "--bundle", bundle.Path, id);
        await stage.ExpectAsync("delete", "--force", id);
        var states = Log(bundle).Select(hook => JsonNode.Parse((string)hook["input"]!)!).ToList();
        Assert.All(states, state => Assert.Equal((id, bundle.Path, "yes"), ((string?)state["id"], (string?)state["bundle"], (string?)state["annotations"]?["org.example.hooked"])));
        Assert.All(states, state => Assert.StartsWith("1.", (string?)state["ociVersion"], StringComparison.Ordinal));
        states.RemoveAll(state => (string?)state["status"] is "created" or "running");
        Assert.Equal(["creating", "creating", "stopped"], states.Select(state => (string?)state["status"]));
        Assert.All(states.Take(2), state => Assert.True((long)state["pid"]! > 0, $"{state}"));
    }

    private static async Task EnvironmentAsync(Stage stage)
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        await stage.WriteAsync(bundle, [$$"""{"hooks":{"createRuntime":[{"path":"{{stage.Probe}}","args":["name of its own","hook","$BUNDLE/log"],"env":["HOOK=1","SECOND=two words"]}]} }"""], "/probe");
        await stage.ExpectAsync("run", "--bundle", bundle.Path, id);
        var hook = Assert.Single(Log(bundle));
        Assert.Equal("name of its own", (string?)hook["name"]);
        Assert.Equal(["HOOK=1", "SECOND=two words"], hook["env"]!.AsArray().Select(variable => (string?)variable));
    }

    private static async Task OrderAsync(Stage stage)
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        var hooks = string.Join(',', Enumerable.Range(1, 4).Select(number => Hook(stage, $"{number}")));
        await stage.WriteAsync(bundle, [$$"""{"hooks":{"createRuntime":[{{hooks}}]} }"""], "/probe");
        await stage.ExpectAsync("run", "--bundle", bundle.Path, id);
        Assert.Equal(["1", "2", "3", "4"], Names(bundle));
    }

    private static async Task StartContainerAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        var seen = await stage.ObserveAsync(bundle, ["""{"hooks":{"startContainer":[{"path":"/probe","args":["startContainer","hook","/hooked"],"env":["IN=1"]}]}}"""], ["read:/hooked"]);
        var hook = JsonNode.Parse(seen.Answer("read:/hooked"))!;
        Assert.Equal("IN=1", (string?)Assert.Single(hook["env"]!.AsArray()));
        Assert.Contains("\"id\"", (string?)hook["input"], StringComparison.Ordinal);
        foreach (var kind in (string[])["pid", "net", "mnt", "ipc", "uts"])
            Assert.Equal(seen.Namespace(kind), (string?)hook["namespaces"]![kind]);
    }

    /// <summary>Its path is the runtime's before the root is changed: a path that is the same on the host and in the root file system.</summary>
    private static async Task CreateContainerAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        Directory.CreateDirectory(Path.GetDirectoryName(bundle.Rootfs + stage.Probe)!);
        File.Copy(stage.Probe, bundle.Rootfs + stage.Probe);
        var seen = await stage.ObserveAsync(bundle,
            [$$"""{"hooks":{"createContainer":[{"path":"{{stage.Probe}}","args":["createContainer","hook","$BUNDLE/rootfs/hooked","/hooked"]}]} }"""], ["read:/hooked"]);
        var hook = JsonNode.Parse(seen.Answer("read:/hooked"))!;
        Assert.Contains("\"id\"", (string?)hook["input"], StringComparison.Ordinal);
        foreach (var kind in (string[])["net", "mnt", "ipc", "uts"])
            Assert.Equal(seen.Namespace(kind), (string?)hook["namespaces"]![kind]);
    }

    private static async Task FailsAsync(Stage stage, string kind, string mode, bool atStart)
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        var path = kind == "startContainer" ? "/probe" : stage.Probe;
        if (kind == "createContainer")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(bundle.Rootfs + path)!);
            File.Copy(path, bundle.Rootfs + path);
        }
        await stage.WriteAsync(bundle, [$$"""{"hooks":{"{{kind}}":[{"path":"{{path}}","args":["hook","{{mode}}"],"timeout":1}]} }"""], "/probe", "hold");
        var create = await stage.Runtime.DetachAsync("create", "--bundle", bundle.Path, id);
        if (atStart)
        {
            Assert.True(create.ExitCode == 0, create.ToString());
            // The process is the probe, which would stay.
            await stage.Runtime.DetachAsync("start", id);
            await Eventually.HoldsAsync(async () => (string?)(await stage.StateAsync(id))["status"] == "stopped", "the container has stopped");
            await stage.ExpectAsync("delete", "--force", id);
            return;
        }
        Assert.True(create.ExitCode != 0 && create.Error.Contains("hook", StringComparison.Ordinal), create.ToString());
        Assert.DoesNotContain(id, (await stage.Runtime.RunAsync("list", "-q")).Text.Split('\n'));
    }

    private static async Task PoststopFailsAsync(Stage stage, string[] expected)
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        await stage.WriteAsync(bundle, [$$"""{"hooks":{"poststop":[{"path":"{{stage.Probe}}","args":["x","fail"]},{{Hook(stage, "second")}}]} }"""], "/probe", "hold");
        await stage.ExpectAsync("run", "--detach", "--bundle", bundle.Path, id);
        await stage.ExpectAsync("delete", "--force", id);
        Assert.DoesNotContain(id, (await stage.Runtime.RunAsync("list", "-q")).Text.Split('\n'));
        Assert.Superset(expected.ToHashSet(), Names(bundle).ToHashSet());
    }

    private static async Task<(ContainerBundle Bundle, string Id)> WithHostHooksAsync(Stage stage, string fragment = "{}")
    {
        var (bundle, id) = (stage.NewBundle(), Stage.NewId());
        var hooks = string.Join(',', OnTheHost.Select(kind => $"\"{kind}\":[{Hook(stage, kind)}]"));
        await stage.WriteAsync(bundle, [$$"""{"hooks":{{{hooks}} } }""", fragment], "/probe", "hold");
        return (bundle, id);
    }

    private static string Hook(Stage stage, string name) => $$"""{"path":"{{stage.Probe}}","args":["{{name}}","hook","$BUNDLE/log"]}""";

    private static List<JsonNode> Log(ContainerBundle bundle) =>
        File.Exists($"{bundle.Path}/log") ? [.. File.ReadLines($"{bundle.Path}/log").Select(line => JsonNode.Parse(line)!)] : [];

    private static IEnumerable<string> Names(ContainerBundle bundle) => Log(bundle).Select(hook => (string)hook["name"]!);
}
