using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>A container in which a program of an image serves.</summary>
internal sealed class Service(RealImages images, string id)
{
    /// <summary>An emulated guest on a busy host takes minutes for an initdb.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(8), Pause = TimeSpan.FromMilliseconds(500);

    private int _execs;

    /// <summary>
    /// As the container's own user: with --user, ctr mounts the container's overlay a second time to look the name up, which
    /// takes the first mount's work directory away.
    /// </summary>
    public Task<CommandResult> ExecAsync(params string[] command) =>
        images.CtrAsync(["task", "exec", "--exec-id", $"e{Interlocked.Increment(ref _execs)}", id, .. command]);

    /// <summary>Output of a command that succeeds.</summary>
    public async Task<string> AskAsync(params string[] command)
    {
        var result = await ExecAsync(command);
        Assert.True(result.ExitCode == 0, $"{result}\n{images.Log}");
        return result.Text;
    }

    public async Task UntilAsync(string what, Func<Task<bool>> condition)
    {
        for (var end = DateTimeOffset.UtcNow + Patience; !await condition(); await Task.Delay(Pause))
            Assert.True(DateTimeOffset.UtcNow < end, $"{id} never came so far: {what}\n{images.Log}");
    }

    /// <summary>Sends the signal; the status that it ends with of itself, for nothing else ends it.</summary>
    public async Task<int> StopAsync(string signal)
    {
        var killed = await images.CtrAsync("task", "kill", "-s", signal, id);
        Assert.True(killed.ExitCode == 0, killed.ToString());
        await UntilAsync($"ends after {signal}", async () => (await images.CtrAsync("task", "ls")).Text.Split('\n').Any(line =>
            line.StartsWith(id, StringComparison.Ordinal) && line.Contains("STOPPED", StringComparison.Ordinal)));
        // ctr exits with the task's status.
        var removed = await images.CtrAsync("task", "rm", id);
        return removed.ExitCode;
    }

    /// <summary>A new task, under katalike in a new machine, on the files that the last one left.</summary>
    public async Task StartAgainAsync()
    {
        var started = await images.CtrAsync("task", "start", "-d", id);
        Assert.True(started.ExitCode == 0, started.ToString());
    }

    public async Task RemoveAsync()
    {
        await images.CtrAsync("task", "kill", "-s", "SIGKILL", id);
        await images.CtrAsync("task", "rm", "-f", id);
        await images.CtrAsync("container", "rm", id);
        await UntilAsync("nothing is left", () => Task.FromResult(images.Leftovers(id).Count == 0));
    }
}
