using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>A path of the host that a container sees, and its place below the container's shared directory.</summary>
internal sealed record HostShare(string Source, string Name)
{
    /// <summary>In the container, for messages.</summary>
    public string Destination { get; init; } = "/";

    /// <summary>With what is mounted below it.</summary>
    public bool Recursive { get; init; } = true;

    public bool ReadOnly { get; init; }

    /// <summary>What is mounted below it is read-only, too.</summary>
    public bool ReadOnlyBelow { get; init; }

    public MountPropagation Propagation { get; init; } = MountPropagation.Private;

    public IdMappings? Ids { get; init; }

    /// <summary>Containers that may write to it have it at one place (<see cref="CommonVolumes"/>).</summary>
    public bool IsCommon { get; init; }

    /// <summary>The bundle's directory for its own root file system, which no link may lead to; else null.</summary>
    public string? Bundle { get; init; }
}

/// <summary>A file system that the host mounts, and its place below the container's shared directory.</summary>
internal sealed record HostFileSystem(string Name, RootfsMount Mount, string Destination = "/")
{
    /// <summary>Others are made of it; the guest does not see it.</summary>
    public bool IsLayer { get; init; }
}

/// <summary>What of a container's mounts comes from the host, and what the agent is told about it.</summary>
/// <remarks>
/// config.json goes to the guest unmodified; this decides for each of its mounts whose source is meant:
/// <list type="bullet">
/// <item>no bind mount: the guest's kernel makes it (proc, tmpfs, …), unless its type is one whose source is a path or
/// a device of the host (overlay, ext4, …): then the host mounts it and shares that;</item>
/// <item>a bind mount onto /dev/shm: the sandbox's own tmpfs "shm", since memory is not shared across the machine boundary;</item>
/// <item>a bind mount of kubelet's emptyDir in memory: a tmpfs of the sandbox, too;</item>
/// <item>a bind mount from /proc, /sys or /dev: the guest's own path of that name, since a device or a kernel file of the
/// host is none in the guest (of these, /dev/shm/… are files and are shared);</item>
/// <item>every other bind mount: shared from the host. A socket or FIFO among them shows, but connects nobody.</item>
/// </list>
/// </remarks>
internal sealed record SharePlan(IReadOnlyList<HostShare> Shares, IReadOnlyList<HostFileSystem> FileSystems, Overlay Overlay)
{
    public IReadOnlyList<HostBlockDevice> Devices { get; init; } = [];

    public const string RootfsName = "rootfs";

    private static readonly string[] HostTypes =
    [
        "overlay", "ext2", "ext3", "ext4", "xfs", "btrfs", "erofs", "squashfs", "iso9660", "vfat", "exfat", "nfs", "nfs4", "cifs",
    ];

    /// <param name="id">The container's; names its shared directory.</param>
    /// <param name="rootfs">containerd's mounts; empty: the specification's root.path.</param>
    /// <exception cref="RuntimeException">A mount asks for what the host cannot do.</exception>
    public static SharePlan From(Spec spec, string id, string bundle, IReadOnlyList<RootfsMount> rootfs) =>
        From(spec, id, bundle, rootfs, MountTable.Read());

    /// <inheritdoc cref="From(Spec,string,string,IReadOnlyList{RootfsMount})"/>
    /// <param name="mounts">The host's.</param>
    public static SharePlan From(Spec spec, string id, string bundle, IReadOnlyList<RootfsMount> rootfs, MountTable mounts)
    {
        var overlay = new Overlay { Rootfs = $"{Hypervisor.SharedFiles.Tag}/{id}/{RootfsName}" };
        var shares = new List<HostShare>();
        if (rootfs.Count == 0)
            shares.Add(new HostShare(spec.Root!.Path, RootfsName) { Bundle = bundle });
        // The last one is the root file system; those before it are what it is made of, or would lie below it unseen.
        var fileSystems = rootfs.Select((mount, i) => i == rootfs.Count - 1
            ? new HostFileSystem(RootfsName, mount) : new HostFileSystem($"{RootfsName}.{i}", mount) { IsLayer = true }).ToList();

        for (var index = 0; index < (spec.Mounts?.Count ?? 0); index++)
        {
            var mount = spec.Mounts![index];
            var flags = MountFlags.Parse(mount.Options ?? []);
            var told = new MountSource { Index = (uint)index, Shared = $"{Hypervisor.SharedFiles.Tag}/{id}/{index}" };
            if (flags.Remount)
                continue;
            if (!flags.Bind && mount.Type is not ("bind" or "rbind"))
            {
                if (!HostTypes.Contains(mount.Type))
                    continue;
                fileSystems.Add(FileSystem(mount, $"{index}", spec.Linux));
            }
            else if (Absolute(mount.Source ?? "", bundle) is var source && InMemory(mount, source, mounts) is { } memory)
            {
                (told.SandboxTmpfs, told.TmpfsSize, told.TmpfsPath) = (memory.Name, memory.Size, memory.Path);
                if (memory.Name != MemoryVolume.SharedMemory)
                {
                    told.TmpfsModel = $"{Hypervisor.SharedFiles.Tag}/{id}/{index}";
                    shares.Add(Share(mount, source, $"{index}", flags, spec.Linux));
                }
            }
            else if (IsGuests(source))
                told.Guest = source;
            else
            {
                var share = Share(mount, source, $"{index}", flags, spec.Linux);
                shares.Add(share with { IsCommon = !share.ReadOnly && share.Ids is null });
            }
            overlay.Mounts.Add(told);
        }
        return new SharePlan(shares, fileSystems, overlay) { Devices = HostBlockDevice.From(spec.Linux) };
    }

    private static MemoryVolume? InMemory(Mount mount, string source, MountTable mounts) => MemoryVolume.Of(source, mounts)
        ?? (Path.GetFullPath("/" + mount.Destination).TrimEnd('/') == "/dev/shm" ? MemoryVolume.Shared(source, mounts) : null);

    /// <summary>What the agent is told of a share that is a mount of config.json.</summary>
    public MountSource Told(HostShare share) => Overlay.Mounts.Single(told => $"{told.Index}" == share.Name);

    private static HostShare Share(Mount mount, string source, string name, MountFlags flags, LinuxSpec? linux) => new(source, name)
    {
        Destination = mount.Destination,
        Recursive = flags.Recursive || !flags.Bind,
        ReadOnly = (flags.Set | flags.RecursiveSet).HasFlag(MountAttributes.ReadOnly),
        ReadOnlyBelow = flags.RecursiveSet.HasFlag(MountAttributes.ReadOnly),
        Propagation = flags.Propagation.Any(change => change.Kind is MountPropagation.Slave or MountPropagation.Shared)
            ? MountPropagation.Slave : MountPropagation.Private,
        Ids = mount.OwnerMappings(linux) is var (users, groups)
            ? new IdMappings(Ranges(users), Ranges(groups), flags.MapIdsRecursively) : null,
    };

    private static HostFileSystem FileSystem(Mount mount, string name, LinuxSpec? linux) =>
        mount.OwnerMappings(linux) is null
            ? new HostFileSystem(name, new RootfsMount(mount.Type!, mount.Source ?? "", mount.Options ?? []), mount.Destination)
            : throw new RuntimeException($"mount {mount.Destination}: id-mapped mounts are only supported for bind-mounts");

    private static List<IdRange> Ranges(IReadOnlyList<IdMapping> mappings) =>
        [.. mappings.Select(mapping => new IdRange(mapping.ContainerId, mapping.HostId, mapping.Size))];

    /// <summary>Whether a path is one that only the guest's kernel can give a meaning.</summary>
    public static bool IsGuests(string source) =>
        !IsBelow(source, "/dev/shm") && (IsBelow(source, "/proc") || IsBelow(source, "/sys") || IsBelow(source, "/dev"));

    private static bool IsBelow(string path, string directory) =>
        path == directory || path.StartsWith(directory + "/", StringComparison.Ordinal);

    private static string Absolute(string path, string bundle) => Path.GetFullPath(Path.Combine(bundle, path));
}
