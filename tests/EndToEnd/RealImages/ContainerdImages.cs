using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>By ctr, in a containerd of the tests' own.</summary>
internal sealed class ContainerdImages(ContainerdDaemon containerd) : IImageEngine
{
    private const string Prefix = "localhost/real";

    private int _execs;

    public string Log => containerd.Log;

    public async Task ImportAsync(string archive)
    {
        var imported = await containerd.CtrAsync("image", "import", "--snapshotter", "overlayfs", "--base-name", Prefix, archive);
        Assert.True(imported.ExitCode == 0, imported.ToString());
    }

    public Task<CommandResult> RunAsync(string runtime, string image, string id, params string[] command) => RunAsync(runtime, image, id, "--rm", command);

    public Task<CommandResult> StartAsync(string runtime, string image, string id, params string[] command) => RunAsync(runtime, image, id, "-d", command);

    /// <summary>
    /// As the container's own user: with --user, ctr mounts the container's overlay a second time to look the name up, which
    /// takes the first mount's work directory away.
    /// </summary>
    public Task<CommandResult> ExecAsync(string id, params string[] command) =>
        containerd.CtrAsync(["task", "exec", "--exec-id", $"e{Interlocked.Increment(ref _execs)}", id, .. command]);

    public async Task KillAsync(string id, string signal)
    {
        var killed = await containerd.CtrAsync("task", "kill", "-s", signal, id);
        Assert.True(killed.ExitCode == 0, killed.ToString());
    }

    public async Task<bool> HasStoppedAsync(string id) => (await containerd.CtrAsync("task", "ls")).Text.Split('\n').Any(line =>
        line.StartsWith(id, StringComparison.Ordinal) && line.Contains("STOPPED", StringComparison.Ordinal));

    /// <summary>ctr exits with the task's status.</summary>
    public async Task<int> ExitStatusAsync(string id) => (await containerd.CtrAsync("task", "rm", id)).ExitCode;

    public Task<CommandResult> StartAgainAsync(string id) => containerd.CtrAsync("task", "start", "-d", id);

    public async Task RemoveAsync(string id)
    {
        await containerd.CtrAsync("task", "kill", "-s", "SIGKILL", id);
        await containerd.CtrAsync("task", "rm", "-f", id);
        await containerd.CtrAsync("container", "rm", id);
    }

    public IReadOnlyList<string> Leftovers(string id) => containerd.Leftovers(id);

    private Task<CommandResult> RunAsync(string runtime, string image, string id, string how, string[] command) => containerd.CtrAsync(
        ["run", "--snapshotter", "overlayfs", "--runtime", $"io.containerd.{runtime}.v2", how, $"{Prefix}:{image}", id, .. command]);
}
