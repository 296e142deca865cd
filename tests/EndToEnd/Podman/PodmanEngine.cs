using System.Text.Json;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Podman;

/// <summary>A Podman of the tests' own: private storage, state and configuration, and the drop-in that deploy/ holds.</summary>
public sealed class PodmanEngine : IAsyncLifetime
{
    public const string Image = "localhost/busybox:latest";

    // Short: Podman puts Unix sockets below it.
    private readonly string _directory = Directory.CreateTempSubdirectory("klp-").FullName;
    private readonly string _storageDriver;

    public PodmanEngine() : this("vfs")
    {
    }

    internal PodmanEngine(string storageDriver) => _storageDriver = storageDriver;

    /// <summary>Why nothing can be tested here; null when it can.</summary>
    public string? Missing { get; } = FindMissing();

    public async Task InitializeAsync()
    {
        if (Missing is not null)
            return;
        // Limits that a root without CAP_SYS_RESOURCE can set, for runc's sake.
        var dropIn = await File.ReadAllTextAsync(Repository.Path("deploy/podman/katalike.conf"));
        await File.WriteAllTextAsync(
            $"{_directory}/containers.conf", dropIn + "\n[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n");
        var load = await RunAsync("runc", [], "load", "-i", Repository.Path("out/images/busybox.tar"));
        Assert.True(load.ExitCode == 0, load.ToString());
    }

    public async Task DisposeAsync()
    {
        if (Missing is null)
        {
            await RunAsync("runc", [], "pod", "rm", "-f", "-a");
            await RunAsync("runc", [], "rm", "-f", "-t", "0", "-a");
        }
        Directory.Delete(_directory, recursive: true);
    }

    internal Task<CommandResult> RunAsync(string runtime, byte[] input, params string[] arguments) => HostCommand.RunAsync(
        "/usr/bin/env", [.. Prefix(runtime), .. arguments], input);

    /// <summary>The words that run this Podman on a terminal that script(1) makes.</summary>
    internal Task<CommandResult> RunOnTerminalAsync(string runtime, string arguments) =>
        HostCommand.RunAsync("/usr/bin/script", ["-qec", $"/usr/bin/env {string.Join(' ', Prefix(runtime))} {arguments}", "/dev/null"]);

    /// <summary>Buildah on the same storage.</summary>
    internal Task<CommandResult> BuildahAsync(params string[] arguments) => HostCommand.RunAsync(
        "/usr/bin/env", [.. Configuration, "buildah", "--root", $"{_directory}/root", "--runroot", $"{_directory}/run", "--storage-driver", _storageDriver, .. arguments]);

    internal static string Program(string runtime) => new OciRuntime(runtime, "").Program;

    // Podman 5 complains of cgroup version 1 where cases look for what a container says.
    private IEnumerable<string> Configuration => [$"CONTAINERS_CONF={_directory}/containers.conf", "PODMAN_IGNORE_CGROUPSV1_WARNING=1"];

    private IEnumerable<string> Prefix(string runtime) =>
    [
        .. Configuration, "podman", "--runtime", Program(runtime), "--cgroup-manager=cgroupfs", "--root", $"{_directory}/root",
        "--runroot", $"{_directory}/run", "--tmpdir", $"{_directory}/tmp", "--storage-driver", _storageDriver, "--events-backend", "none",
    ];

    private static string? FindMissing()
    {
        if (!Environment.IsPrivilegedProcess)
            return "needs root";
        foreach (var program in (string[])["/usr/bin/podman", "/usr/bin/conmon", "/usr/bin/script", Program("runc"), Program("katalike")])
        {
            if (!File.Exists(program))
                return $"{program} is not there";
        }
        return ((string[])["out/images/busybox.tar", "out/share/katalike/initrd"]).Select(Repository.Path)
            .FirstOrDefault(path => !File.Exists(path)) is { } file ? $"{file} is not built: run ./dev build" : null;
    }
}
