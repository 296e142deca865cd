using System.Text.Json.Nodes;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>The hooks of the host, as runc runs them.</summary>
public sealed class HookTests : CommandLineCase
{
    private static readonly string[] Lists = ["prestart", "createRuntime", "poststart", "poststop"];

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Hooks_run_in_their_order_with_the_state(string name)
    {
        var runtime = Runtime(name);
        var bundle = HookedBundle("sleep 1000");
        AssertOk(await runtime.DetachAsync("run", "-d", "--pid-file", $"{Directory}/pid", "--bundle", bundle.Path, Id));
        AssertOk(await runtime.RunAsync("delete", "--force", Id));

        Assert.Equal(Lists, File.ReadAllLines($"{Directory}/order"));
        foreach (var list in Lists)
        {
            var state = JsonNode.Parse(File.ReadAllText($"{Directory}/{list}"))!;
            Assert.Equal((Id, bundle.Path), ((string?)state["id"], (string?)state["bundle"]));
            if (list != "poststop")
                Assert.Equal(File.ReadAllText($"{Directory}/pid"), $"{state["pid"]}");
        }
        string Status(string list) => (string?)JsonNode.Parse(File.ReadAllText($"{Directory}/{list}"))!["status"] ?? "";
        Assert.Equal(("creating", "creating", "stopped"), (Status("prestart"), Status("createRuntime"), Status("poststop")));
    }

    [SkippableTheory]
    [InlineData("runc", "prestart")]
    [InlineData("katalike", "prestart")]
    [InlineData("runc", "createRuntime")]
    [InlineData("katalike", "createRuntime")]
    [InlineData("runc", "poststart")]
    [InlineData("katalike", "poststart")]
    public async Task One_that_fails_takes_the_container_along(string name, string list)
    {
        var runtime = Runtime(name);
        var bundle = HookedBundle("sleep 1000", failing: list);
        AssertRefused(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id), 1, "exit status 3, stdout: , stderr: on purpose");
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
        Assert.Equal("poststop", File.ReadAllLines($"{Directory}/order")[^1]);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_failing_poststop_hook_is_a_warning(string name)
    {
        var runtime = Runtime(name);
        var result = await runtime.RunAsync("run", "--bundle", HookedBundle("echo hello", failing: "poststop").Path, Id);
        Assert.True(result is { ExitCode: 0, Text: "hello" }, result.ToString());
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    /// <summary>Its hooks write their name and what they read into the case's directory.</summary>
    private TestBundle HookedBundle(string command, string failing = "")
    {
        var bundle = Bundle();
        bundle.Write(["sh", "-c", command], spec =>
        {
            var hooks = new JsonObject();
            foreach (var list in Lists)
            {
                var script = $"cat > {Directory}/{list}; echo {list} >> {Directory}/order";
                if (list == failing)
                    script += "; echo on purpose >&2; exit 3";
                hooks[list] = new JsonArray(new JsonObject { ["path"] = "/bin/sh", ["args"] = new JsonArray("sh", "-c", script), ["env"] = new JsonArray("PATH=/bin:/usr/bin") });
            }
            spec["hooks"] = hooks;
        });
        return bundle;
    }
}
