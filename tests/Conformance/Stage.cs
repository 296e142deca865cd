using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests;

/// <summary>
/// A runtime with a container that lives as long as the stage: the others are compared with it, and under katalike share its
/// virtual machine, which is what a pod's containers do and saves a boot for each.
/// </summary>
internal sealed class Stage(OciRuntime runtime, string directory, string probe)
{
    private const string Sandbox = "io.kubernetes.cri.sandbox-id", Kind = "io.kubernetes.cri.container-type";
    private static int _count;

    private readonly string _holderId = $"holder-{Path.GetFileName(directory)}";
    private Observation? _holder;

    public OciRuntime Runtime => runtime;

    public string Probe => probe;

    public string HolderId => _holderId;

    /// <summary>Two processors where the host has them, so that an affinity can be told from having one only.</summary>
    public async Task OpenAsync()
    {
        var bundle = NewBundle();
        var config = Config.Of(
            [$$"""{"annotations":{"{{Sandbox}}":"{{_holderId}}","{{Kind}}":"sandbox"},"linux":{"resources":{"cpu":{"quota":200000,"period":100000} } } }"""],
            ["/probe", "hold"]);
        bundle.Write(config);
        var run = await runtime.DetachAsync("run", "--detach", "--bundle", bundle.Path, _holderId);
        Assert.True(run.ExitCode == 0, Explain(run));
        _holder = null;
        _holder = await ObserveInHolderAsync("{}", []);
    }

    public async Task CloseAsync()
    {
        var list = await runtime.RunAsync("list", "-q");
        foreach (var id in list.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).OrderBy(id => id == _holderId))
            await runtime.RunAsync("delete", "--force", id);
    }

    /// <summary>A name that no other container has had: runc names cgroups of the host after it.</summary>
    public static string NewId() => $"kl-conformance-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}";

    public ContainerBundle NewBundle() => new($"{directory}/{NewId()}", probe);

    /// <summary>Writes config.json for a container of the holder's machine.</summary>
    public async Task WriteAsync(ContainerBundle bundle, IEnumerable<string> fragments, params string[] arguments)
    {
        var grouped = $$"""{"annotations":{"{{Sandbox}}":"{{_holderId}}","{{Kind}}":"container"} }""";
        bundle.Write(Config.Of([grouped, .. await FillAsync(bundle, fragments)], arguments));
    }

    /// <summary>Runs the probe as the container's process.</summary>
    public async Task<Observation> ObserveAsync(ContainerBundle bundle, IEnumerable<string> fragments, IEnumerable<string> questions)
    {
        await WriteAsync(bundle, fragments, ["/probe", .. questions.Distinct()]);
        var run = await runtime.RunAsync("run", "--bundle", bundle.Path, NewId());
        return Read(run);
    }

    /// <summary>Runs the probe as a further process of the holder.</summary>
    /// <param name="fragment">Merged into process.json.</param>
    public async Task<Observation> ObserveInHolderAsync(string fragment, IEnumerable<string> questions)
    {
        var process = Config.Of([$$"""{"process":{{fragment}} }"""], ["/probe", .. questions.Distinct()])["process"]!;
        var file = $"{directory}/{NewId()}.json";
        await File.WriteAllTextAsync(file, process.ToJsonString());
        return Read(await runtime.RunAsync("exec", "--process", file, _holderId));
    }

    public async Task<JsonNode> StateAsync(string id)
    {
        var state = await runtime.RunAsync("state", id);
        Assert.True(state.ExitCode == 0, Explain(state));
        return JsonNode.Parse(state.Text)!;
    }

    /// <summary>Until it has stopped: a signal that comes before the probe waits for it is lost on the first process of a pid namespace.</summary>
    public Task StopAsync(string id) => Eventually.HoldsAsync(async () =>
    {
        await runtime.RunAsync("kill", id, "TERM");
        return (string?)(await StateAsync(id))["status"] == "stopped";
    }, $"{id} has stopped");

    public async Task ExpectAsync(params string[] command)
    {
        var result = command[0] is "create" or "start" || command.Contains("--detach") ? await runtime.DetachAsync(command) : await runtime.RunAsync(command);
        Assert.True(result.ExitCode == 0, Explain(result));
    }

    /// <summary>The runtime says no, names what it does not like, and leaves no container.</summary>
    public async Task RefuseAsync(ContainerBundle bundle, string mentions)
    {
        var id = NewId();
        var run = await runtime.RunAsync("run", "--bundle", bundle.Path, id);
        Assert.True(run.ExitCode != 0, "it ran");
        Assert.True(run.Text.Length == 0 && run.Error.Contains(mentions, StringComparison.OrdinalIgnoreCase), $"no {mentions} in: {run.Error}");
        var list = await runtime.RunAsync("list", "-q");
        Assert.DoesNotContain(id, list.Text.Split('\n'));
    }

    private static string Explain(CommandResult result) => $"exit code {result.ExitCode}: {result.Error} {result.Text}";

    private Observation Read(CommandResult run)
    {
        Assert.True(run.ExitCode == 0 && run.Text.StartsWith('{'), Explain(run));
        return new Observation(JsonNode.Parse(run.Text)!, _holder);
    }

    private async Task<IReadOnlyList<string>> FillAsync(ContainerBundle bundle, IEnumerable<string> fragments)
    {
        var all = fragments.ToList();
        var holder = all.Any(fragment => fragment.Contains("$HOLDER", StringComparison.Ordinal)) ? $"{(await StateAsync(_holderId))["pid"]}" : "";
        return
        [
            .. all.Select(fragment => fragment.Replace("$HOLDER", holder, StringComparison.Ordinal)
                .Replace("$BUNDLE", bundle.Path, StringComparison.Ordinal).Replace("$HOST", bundle.Host, StringComparison.Ordinal)),
        ];
    }
}
