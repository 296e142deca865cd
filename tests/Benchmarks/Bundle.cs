using System.Text.Json;

namespace KataLike.Benchmarks;

/// <summary>A bundle on busybox's root file system.</summary>
internal static class Bundle
{
    public static string Make(string directory, string rootfs, params string[] command) => Make(directory, rootfs, [], command);

    /// <summary>Of a pod, as the CRI's annotations tell it.</summary>
    public static string MakeInPod(string directory, string rootfs, string pod, bool first, params string[] command) => Make(
        directory, rootfs, new() { ["io.kubernetes.cri.sandbox-id"] = pod, ["io.kubernetes.cri.container-type"] = first ? "sandbox" : "container" }, command);

    /// <summary>In a network namespace that is there.</summary>
    public static string MakeIn(string network, string directory, string rootfs, params string[] command) => Make(directory, rootfs, [], command, network);

    private static string Make(string directory, string rootfs, Dictionary<string, string> annotations, string[] command, string? network = null)
    {
        Directory.CreateDirectory(directory);
        var config = new
        {
            ociVersion = "1.0.2",
            process = new { args = command, env = (string[])["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], cwd = "/", user = new { uid = 0, gid = 0 } },
            root = new { path = rootfs },
            annotations,
            mounts = new[] { new { destination = "/proc", type = "proc", source = "proc" } },
            linux = new
            {
                namespaces = ((string[])["pid", "mount", "ipc", "uts"]).Select(type => (object)new { type })
                    .Append(network is null ? new { type = "network" } : new { type = "network", path = network }),
            },
        };
        File.WriteAllText($"{directory}/config.json", JsonSerializer.Serialize(config));
        return directory;
    }
}
