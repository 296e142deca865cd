using System.Globalization;
using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Podman;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>By Podman, on a storage of the tests' own.</summary>
internal sealed class PodmanImages(PodmanEngine podman) : IImageEngine
{
    private readonly Dictionary<string, string> _runtimes = [];

    public string Log => "";

    public async Task ImportAsync(string layout)
    {
        foreach (var image in (string[])["debian", "redis", "nginx", "postgresql", "python"])
        {
            var pulled = await podman.RunAsync("runc", [], "pull", "-q", $"oci:{layout}:{image}");
            Assert.True(pulled.ExitCode == 0, pulled.ToString());
            await podman.RunAsync("runc", [], "tag", pulled.Text.Trim(), Name(image));
        }
    }

    public Task<CommandResult> RunAsync(string runtime, string image, string id, params string[] command) =>
        podman.RunAsync(runtime, [], ["run", "--rm", "--name", id, "--network", "none", Name(image), .. command]);

    public Task<CommandResult> StartAsync(string runtime, string image, string id, params string[] command)
    {
        lock (_runtimes)
            _runtimes[id] = runtime;
        return CommandAsync(id, ["run", "-d", "--name", id, "--network", "none", Name(image), .. command]);
    }

    public Task<CommandResult> ExecAsync(string id, params string[] command) => CommandAsync(id, ["exec", id, .. command]);

    public async Task KillAsync(string id, string signal)
    {
        var killed = await CommandAsync(id, "kill", "-s", signal, id);
        Assert.True(killed.ExitCode == 0, killed.ToString());
    }

    public async Task<bool> HasStoppedAsync(string id) => await InspectAsync(id, "{{.State.Status}}") == "exited";

    public async Task<int> ExitStatusAsync(string id) => int.Parse(await InspectAsync(id, "{{.State.ExitCode}}"), CultureInfo.InvariantCulture);

    public Task<CommandResult> StartAgainAsync(string id) => CommandAsync(id, "start", id);

    public Task RemoveAsync(string id) => CommandAsync(id, "rm", "-f", "-t", "0", id);

    /// <summary>Podman gives no --root: its containers are in our default one.</summary>
    public IReadOnlyList<string> Leftovers(string id) =>
        [.. ((string[])["/run/katalike/containers", "/run/katalike/sandboxes"]).Where(Directory.Exists).SelectMany(Directory.GetFileSystemEntries)];

    private async Task<string> InspectAsync(string id, string format) => (await CommandAsync(id, "inspect", "--format", format, id)).Text.Trim();

    private Task<CommandResult> CommandAsync(string id, params string[] arguments)
    {
        lock (_runtimes)
            return podman.RunAsync(_runtimes[id], [], arguments);
    }

    private static string Name(string image) => $"localhost/real:{image}";
}
