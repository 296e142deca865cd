using System.Diagnostics;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>katalike pool, with a directory and a configuration of its own.</summary>
internal sealed class MachinePool : IAsyncDisposable
{
    private readonly string _directory;
    private Process? _keeper;

    /// <param name="directory">Of the case: the pool is below it.</param>
    public MachinePool(string directory, int size)
    {
        (_directory, Size) = ($"{directory}/pool", size);
        Configuration = $"{directory}/pool.toml";
        File.WriteAllText(Configuration, $"[pool]\nsize = {size}\ndirectory = \"{_directory}\"\n[annotations]\nallowed = [\"template\"]\n");
    }

    public string Configuration { get; }

    public int Size { get; }

    public string Socket => $"{_directory}/pool.sock";

    /// <summary>Pids of those that wait, or are getting ready to.</summary>
    public IReadOnlyList<int> Waiting => System.IO.Directory.Exists($"{_directory}/members")
        ? [.. System.IO.Directory.GetDirectories($"{_directory}/members").Select(path => int.Parse(Path.GetFileName(path)))] : [];

    /// <summary>The pid of the QEMU of one that waits.</summary>
    public int MachineOf(int waiting) => (int)JsonNode.Parse(File.ReadAllText($"{_directory}/members/{waiting}/sandbox.json"))!["hypervisorPid"]!;

    /// <summary>Returns when all are ready.</summary>
    public async Task StartAsync()
    {
        _keeper = Process.Start(new ProcessStartInfo(Repository.Path("out/bin/katalike"), ["--config", Configuration, "pool"]) { RedirectStandardOutput = true })!;
        await ReadyAsync();
    }

    /// <summary>Waits for the next time that all are ready.</summary>
    public async Task ReadyAsync() => Assert.Equal($"pool: {Size} ready", await _keeper!.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(1)));

    /// <summary>As systemd does it.</summary>
    public async Task StopAsync()
    {
        await HostCommand.RunAsync("kill", ["-TERM", $"{_keeper!.Id}"]);
        await _keeper.WaitForExitAsync();
        Assert.Equal(0, _keeper.ExitCode);
    }

    public async Task KillAsync()
    {
        _keeper!.Kill();
        await _keeper.WaitForExitAsync();
    }

    /// <summary>Whether the process of a sandbox has waited in a pool before.</summary>
    public static bool IsOfOne(int pid) => File.ReadAllText($"/proc/{pid}/cmdline").Contains("pool-member", StringComparison.Ordinal);

    public async ValueTask DisposeAsync()
    {
        if (_keeper is { HasExited: false })
            await KillAsync();
        _keeper?.Dispose();
        await Eventually.HoldsAsync(() => Task.FromResult(Waiting.All(pid => !System.IO.Directory.Exists($"/proc/{pid}"))), "those that waited have ended");
    }
}
