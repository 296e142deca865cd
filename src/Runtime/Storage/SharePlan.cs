using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>A path of the host that a container sees, and its place below the container's shared directory.</summary>
internal sealed record HostShare(string Source, string Name, bool Recursive, bool ReadOnly, MountPropagation Propagation);

/// <summary>What of a container's mounts comes from the host, and what the agent is told about it.</summary>
/// <remarks>
/// config.json goes to the guest unmodified; this decides for each of its mounts whose source is meant:
/// <list type="bullet">
/// <item>no bind mount: the guest's kernel makes it (proc, tmpfs, …);</item>
/// <item>a bind mount onto /dev/shm: the sandbox's own tmpfs "shm", since memory is not shared across the machine boundary;</item>
/// <item>a bind mount from /proc, /sys or /dev: the guest's own path of that name, since a device or a kernel file of the
/// host is none in the guest (of these, /dev/shm/… are files and are shared);</item>
/// <item>every other bind mount: shared from the host. A socket or FIFO among them shows, but connects nobody.</item>
/// </list>
/// </remarks>
internal sealed record SharePlan(IReadOnlyList<HostShare> Shares, IReadOnlyList<RootfsMount> Rootfs, Overlay Overlay)
{
    public const string RootfsName = "rootfs";

    /// <param name="id">The container's; names its shared directory.</param>
    /// <param name="rootfs">containerd's mounts; empty: the specification's root.path.</param>
    public static SharePlan From(Spec spec, string id, string bundle, IReadOnlyList<RootfsMount> rootfs)
    {
        var shares = new List<HostShare>();
        var overlay = new Overlay { Rootfs = $"{Hypervisor.SharedFiles.Tag}/{id}/{RootfsName}" };
        if (rootfs.Count == 0)
            shares.Add(new HostShare(Absolute(spec.Root!.Path, bundle), RootfsName, Recursive: true, ReadOnly: false, MountPropagation.Private));

        for (var index = 0; index < (spec.Mounts?.Count ?? 0); index++)
        {
            var mount = spec.Mounts![index];
            var options = mount.Options ?? [];
            if (mount.Type != "bind" && !options.Contains("bind") && !options.Contains("rbind"))
                continue;
            if (mount.Destination.TrimEnd('/') == "/dev/shm")
            {
                overlay.Mounts.Add(new MountSource { Index = (uint)index, SandboxTmpfs = "shm" });
                continue;
            }
            var source = Absolute(mount.Source ?? "", bundle);
            if (IsGuests(source))
                continue;
            shares.Add(Share(source, $"{index}", options));
            overlay.Mounts.Add(new MountSource { Index = (uint)index, Shared = $"{Hypervisor.SharedFiles.Tag}/{id}/{index}" });
        }
        return new SharePlan(shares, rootfs, overlay);
    }

    private static HostShare Share(string source, string name, IReadOnlyList<string> options)
    {
        var follows = options.Any(option => option is "slave" or "rslave" or "shared" or "rshared");
        return new HostShare(
            source, name,
            Recursive: !options.Contains("bind") || options.Contains("rbind"),
            ReadOnly: options.Any(option => option is "ro" or "rro"),
            follows ? MountPropagation.Slave : MountPropagation.Private);
    }

    private static bool IsGuests(string source) =>
        !IsBelow(source, "/dev/shm") && (IsBelow(source, "/proc") || IsBelow(source, "/sys") || IsBelow(source, "/dev"));

    private static bool IsBelow(string path, string directory) =>
        path == directory || path.StartsWith(directory + "/", StringComparison.Ordinal);

    private static string Absolute(string path, string bundle) => Path.GetFullPath(Path.Combine(bundle, path));
}
