using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>A directory, a runtime root and a bundle for one case; afterwards nothing may be left on the host.</summary>
public abstract class CommandLineCase : IAsyncLifetime
{
    private readonly List<OciRuntime> runtimes = [];
    private HostInventory before = null!;

    protected string Directory { get; } = System.IO.Directory.CreateTempSubdirectory("katalike-case-").FullName;

    /// <summary>Its own for each case: runc names a cgroup of the host after it.</summary>
    protected string Id { get; } = $"case-{Guid.NewGuid():n}";

    public Task InitializeAsync()
    {
        before = HostInventory.Take(Directory, Id);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        foreach (var runtime in runtimes)
        {
            var list = await runtime.RunAsync("list", "-q");
            foreach (var id in list.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                await runtime.RunAsync("delete", "--force", id);
        }
        var left = HostInventory.Take(Directory, Id).NewSince(before).ToList();
        System.IO.Directory.Delete(Directory, recursive: true);
        Assert.Empty(left);
    }

    /// <summary>Skips the case where the runtime is not there.</summary>
    private protected OciRuntime Runtime(string name, bool boots = true)
    {
        var runtime = new OciRuntime(name, $"{Directory}/{name}");
        runtime.Require(boots);
        runtimes.Add(runtime);
        return runtime;
    }

    private protected TestBundle Bundle(params string[] arguments) => new($"{Directory}/bundle-{Guid.NewGuid():n}", arguments);

    /// <summary>A container that sleeps, in a pod as Kubernetes marks it.</summary>
    /// <param name="type">sandbox or container.</param>
    private protected TestBundle PodBundle(string type, string sandbox)
    {
        var bundle = Bundle("sleep", "1000");
        bundle.Write(["sleep", "1000"], spec => spec["annotations"] = new JsonObject
        {
            ["io.kubernetes.cri.container-type"] = type,
            ["io.kubernetes.cri.sandbox-id"] = sandbox,
        });
        return bundle;
    }

    private protected static void AssertOk(CommandResult result) => Assert.True(result.ExitCode == 0, result.ToString());

    /// <summary>One line, with these words, and this exit code.</summary>
    private protected static void AssertRefused(CommandResult result, int exitCode, string words)
    {
        Assert.True(result.ExitCode == exitCode && result.Error.Contains(words, StringComparison.Ordinal), result.ToString());
        Assert.True(result.Error.TrimEnd('\n').Split('\n').Length == 1, result.ToString());
    }
}
