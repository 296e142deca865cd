using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>A device node or FIFO.</summary>
/// <param name="Mode">With the type's bits.</param>
internal sealed record NodePlan(string Path, uint Mode, uint Major, uint Minor, uint UserId = 0, uint GroupId = 0);

/// <summary>The container's root directory and all that is mounted or made in it.</summary>
internal sealed record RootPlan
{
    private const uint CharacterDevice = 0x2000, BlockDevice = 0x6000, Fifo = 0x1000, ReadWriteForAll = 0x1b6;

    private static readonly NodePlan[] _defaultNodes =
    [
        new("/dev/null", CharacterDevice | ReadWriteForAll, 1, 3),
        new("/dev/random", CharacterDevice | ReadWriteForAll, 1, 8),
        new("/dev/full", CharacterDevice | ReadWriteForAll, 1, 7),
        new("/dev/tty", CharacterDevice | ReadWriteForAll, 5, 0),
        new("/dev/zero", CharacterDevice | ReadWriteForAll, 1, 5),
        new("/dev/urandom", CharacterDevice | ReadWriteForAll, 1, 9),
    ];

    private static readonly (string, string)[] _defaultLinks =
    [
        (Ptmx, "pts/ptmx"),
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        (Core, "/proc/kcore"),
    ];

    /// <summary>Always a link, whatever the root file system or the document has there.</summary>
    public const string Ptmx = "/dev/ptmx";

    public const string Core = "/dev/core";

    /// <summary>In the guest.</summary>
    public required string Path { get; init; }

    public required bool ReadOnly { get; init; }

    public required Propagation Propagation { get; init; }

    /// <summary>In the order of the document.</summary>
    public required IReadOnlyList<MountPlan> Mounts { get; init; }

    /// <summary>Ids of the container's user namespace; null: the guest's.</summary>
    public IdMap? Ids { get; init; }

    /// <summary>Ids in the guest of the container's root user: the owner of what is made.</summary>
    public (uint User, uint Group) Owner => Ids?.Root ?? default;

    /// <summary>In a user namespace no node works on a file system of its own: they are bound from elsewhere.</summary>
    public bool BindNodes => Ids is not null;

    /// <summary>Empty where /dev is somebody else's, bound from outside.</summary>
    public required IReadOnlyList<NodePlan> Nodes { get; init; }

    public required IReadOnlyList<(string Path, string Target)> Links { get; init; }

    /// <summary>Whether the process's terminal is also /dev/console.</summary>
    public required bool Console { get; init; }

    public required IReadOnlyList<string> MaskedPaths { get; init; }

    public required IReadOnlyList<string> ReadonlyPaths { get; init; }

    /// <summary>Made where it is missing.</summary>
    public required string WorkingDirectory { get; init; }

    public static RootPlan From(Spec spec, LinuxSpec linux, string path, IReadOnlyDictionary<int, string> sources)
    {
        var mounts = (spec.Mounts ?? []).Select((mount, index) => MountPlan.From(mount, index, linux, sources)).ToList();
        var ownDevices = !mounts.Any(mount => mount.Kind == MountKind.Bind && mount.Place == "/dev");
        return new RootPlan
        {
            Path = path,
            ReadOnly = spec.Root!.Readonly,
            Propagation = PropagationOf(linux.RootfsPropagation),
            Mounts = mounts,
            Nodes = ownDevices ? [.. (linux.Devices ?? []).Select(Node).Where(node => node.Path != Ptmx).UnionBy(_defaultNodes, node => node.Path)] : [],
            Links = ownDevices ? _defaultLinks : [],
            Console = ownDevices && spec.Process!.Terminal,
            MaskedPaths = linux.MaskedPaths ?? [],
            ReadonlyPaths = linux.ReadonlyPaths ?? [],
            WorkingDirectory = spec.Process!.Cwd,
        };
    }

    private static NodePlan Node(Device device) => new(
        device.Path,
        (device.Type switch { "b" => BlockDevice, "p" => Fifo, _ => CharacterDevice }) | ((device.FileMode ?? ReadWriteForAll) & 0xfff),
        (uint)device.Major, (uint)device.Minor, device.Uid ?? 0, device.Gid ?? 0);

    /// <summary>An r before the name means all that is mounted in the root, too.</summary>
    private static Propagation PropagationOf(string? name) =>
        name is { Length: > 0 } && MountFlags.Parse([name]).Propagation is [var propagation]
            ? propagation : new Propagation(MountPropagation.Slave, Recursive: false);
}
