using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>A container in which a program of an image serves.</summary>
internal sealed class Service(IImageEngine engine, string id)
{
    /// <summary>An emulated guest on a busy host takes minutes for an initdb.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(8), Pause = TimeSpan.FromMilliseconds(500);

    public Task<CommandResult> ExecAsync(params string[] command) => engine.ExecAsync(id, command);

    /// <summary>Output of a command that succeeds.</summary>
    public async Task<string> AskAsync(params string[] command)
    {
        var result = await ExecAsync(command);
        Assert.True(result.ExitCode == 0, $"{result}\n{engine.Log}");
        return result.Text.TrimEnd('\n');
    }

    public async Task UntilAsync(string what, Func<Task<bool>> condition)
    {
        for (var end = DateTimeOffset.UtcNow + Patience; !await condition(); await Task.Delay(Pause))
            Assert.True(DateTimeOffset.UtcNow < end, $"{id} never came so far: {what}\n{engine.Log}");
    }

    /// <summary>Sends the signal; the status that it ends with of itself, for nothing else ends it.</summary>
    public async Task<int> StopAsync(string signal)
    {
        await engine.KillAsync(id, signal);
        await UntilAsync($"ends after {signal}", () => engine.HasStoppedAsync(id));
        return await engine.ExitStatusAsync(id);
    }

    public async Task StartAgainAsync()
    {
        var started = await engine.StartAgainAsync(id);
        Assert.True(started.ExitCode == 0, started.ToString());
    }

    public async Task RemoveAsync()
    {
        await engine.RemoveAsync(id);
        await UntilAsync("nothing is left", () => Task.FromResult(engine.Leftovers(id).Count == 0));
    }
}
