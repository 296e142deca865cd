using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.MaliciousBundles;

/// <summary>
/// Bundles made to do harm, each run with runc too. With katalike they join a sandbox that runs already, which must
/// survive them all; and of the host, a directory that the bundles aim at must stay as it is.
/// </summary>
public abstract class MaliciousBundleCase : CommandLineCase
{
    private OciRuntime? sandbox;
    private int count;

    /// <summary>What the bundles aim at.</summary>
    private protected string Outside => $"{Directory}/outside";

    private string Pause => $"{Id}-pause";

    /// <summary>The runtime; of katalike, with a sandbox for the bundles to join.</summary>
    private protected async Task<OciRuntime> TargetAsync(string name)
    {
        var runtime = Runtime(name);
        System.IO.Directory.CreateDirectory(Outside);
        File.WriteAllText($"{Outside}/secret", "secret");
        if (runtime.IsKataLike)
        {
            var pause = Bundle("sleep", "1000");
            pause.Write(["sleep", "1000"], spec => Annotate(spec, "sandbox"));
            AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", pause.Path, Pause));
            sandbox = runtime;
        }
        return runtime;
    }

    /// <param name="script">What runs inside, where it comes so far.</param>
    private protected async Task<CommandResult> TryAsync(
        OciRuntime runtime, string script, Action<JsonNode> change, Action<TestBundle>? prepare = null, Func<byte[], byte[]>? bytes = null)
    {
        var bundle = Bundle();
        prepare?.Invoke(bundle);
        bundle.Write(["/bin/sh", "-c", script], spec =>
        {
            Annotate(spec, "container");
            change(spec);
        });
        if (bytes is not null)
            File.WriteAllBytes($"{bundle.Path}/config.json", bytes(File.ReadAllBytes($"{bundle.Path}/config.json")));
        return await runtime.RunAsync("run", "--bundle", bundle.Path, $"{Id}-{count++}");
    }

    private protected static void AssertRan(CommandResult result, string output) =>
        Assert.True(result.ExitCode == 0 && result.Text == output, result.ToString());

    /// <summary>Nothing of the host has changed, and the sandbox and its other container are as they were.</summary>
    private protected async Task AssertUnharmedAsync()
    {
        Assert.Equal([$"{Outside}/secret"], System.IO.Directory.GetFileSystemEntries(Outside));
        Assert.Equal("secret", File.ReadAllText($"{Outside}/secret"));
        if (sandbox is null)
            return;
        var alive = await sandbox.RunAsync("exec", Pause, "echo", "alive");
        Assert.True(alive is { ExitCode: 0, Text: "alive" }, alive.ToString());
        AssertOk(await sandbox.RunAsync("delete", "--force", Pause));
    }

    private protected static JsonObject Mount(string destination, string type, string source, params string[] options) => new()
    {
        ["destination"] = destination,
        ["type"] = type,
        ["source"] = source,
        ["options"] = new JsonArray([.. options.Select(option => JsonValue.Create(option))]),
    };

    private protected static void Add(JsonNode spec, params JsonObject[] mounts)
    {
        foreach (var mount in mounts)
            spec["mounts"]!.AsArray().Add((JsonNode)mount);
    }

    private void Annotate(JsonNode spec, string type) => spec["annotations"] = new JsonObject
    {
        ["io.kubernetes.cri.container-type"] = type,
        ["io.kubernetes.cri.sandbox-id"] = Pause,
    };
}
