using System.Diagnostics;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Cri;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>katalike pool, with a directory and a configuration of its own.</summary>
internal sealed class MachinePool : IAsyncDisposable
{
    private readonly string _directory;
    private readonly NodeNamespaces? _node;
    private Process? _keeper;

    /// <param name="configuration">The file to write.</param>
    /// <param name="directory">Of the pool: on the file system of the sandboxes' directories, or no machine can be used.</param>
    /// <param name="node">Where the pool is kept; null: on the host itself.</param>
    public MachinePool(string configuration, string directory, int size, NodeNamespaces? node = null)
    {
        (Configuration, Size, _node) = (configuration, size, node);
        // As it is seen from here.
        _directory = node?.Path(directory) ?? directory;
        File.WriteAllText(Configuration, $"[pool]\nsize = {size}\ndirectory = \"{directory}\"\n[annotations]\nallowed = [\"template\"]\n");
    }

    /// <summary>For a case of the command line: all of it is in the case's directory.</summary>
    public static MachinePool In(string directory, int size) => new($"{directory}/pool.toml", $"{directory}/pool", size);

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
        string[] command = [.. _node?.Enter ?? [], Repository.Path("out/bin/katalike"), "--config", Configuration, "pool"];
        _keeper = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true })!;
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
