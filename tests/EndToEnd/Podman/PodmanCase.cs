using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Podman;

/// <summary>One Podman for the cases of a class; afterwards nothing of theirs may be left on the host.</summary>
public abstract class PodmanCase(PodmanEngine podman) : IClassFixture<PodmanEngine>, IAsyncLifetime
{
    private readonly List<string> before = Leftovers().ToList();

    /// <summary>For files of the case.</summary>
    protected string Directory { get; } = System.IO.Directory.CreateTempSubdirectory("klp-case-").FullName;

    protected string Name { get; } = $"case-{Guid.NewGuid():n}"[..16];

    public Task InitializeAsync()
    {
        Skip.If(podman.Missing is not null, podman.Missing);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        System.IO.Directory.Delete(Directory, recursive: true);
        if (podman.Missing is not null)
            return;
        await podman.RunAsync("runc", [], "pod", "rm", "-f", "-t", "0", "-a");
        await podman.RunAsync("runc", [], "rm", "-f", "-t", "0", "-a");
        // Podman cleans up in the background, when conmon tells it that a container has ended.
        await Eventually.HoldsAsync(() => Task.FromResult(!Leftovers().Except(before).Any()), $"nothing is left: {string.Join(", ", Leftovers().Except(before))}");
    }

    private protected Task<CommandResult> PodmanAsync(string runtime, params string[] arguments) => podman.RunAsync(runtime, [], arguments);

    private protected Task<CommandResult> PodmanAsync(string runtime, byte[] input, params string[] arguments) => podman.RunAsync(runtime, input, arguments);

    /// <summary>podman run --rm with options before the image and the command behind it.</summary>
    private protected Task<CommandResult> RunAsync(string runtime, string[] options, params string[] command) =>
        podman.RunAsync(runtime, [], ["run", "--rm", "--network", "none", .. options, PodmanEngine.Image, .. command]);

    /// <summary>A container in the background that does not end by itself.</summary>
    private protected async Task StartAsync(string runtime, string[] options, params string[] command)
    {
        var run = await podman.RunAsync(
            runtime, [], ["run", "-d", "--name", Name, "--network", "none", .. options, PodmanEngine.Image, .. command]);
        AssertOk(run);
    }

    private protected Task<CommandResult> ExecAsync(string runtime, params string[] command) => PodmanAsync(runtime, ["exec", Name, .. command]);

    private protected async Task<string> InspectAsync(string runtime, string format) =>
        (await PodmanAsync(runtime, "inspect", "--format", format, Name)).Text;

    private protected static void AssertOk(CommandResult result) => Assert.True(result.ExitCode == 0, result.ToString());

    private protected static void AssertText(string text, CommandResult result) => Assert.True(result.ExitCode == 0 && result.Text == text, result.ToString());

    private protected static void AssertFails(int exitCode, string words, CommandResult result) =>
        Assert.True(result.ExitCode == exitCode && result.Error.Contains(words, StringComparison.Ordinal), result.ToString());

    /// <summary>Podman gives no --root: its containers are in our default one.</summary>
    private static IEnumerable<string> Leftovers() => ((string[])["/run/katalike/containers", "/run/katalike/sandboxes"])
        .Where(System.IO.Directory.Exists).SelectMany(System.IO.Directory.GetFileSystemEntries);
}
