using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>What the agent knows when it makes a container.</summary>
internal sealed record ContainerRequest
{
    public required string Id { get; init; }

    public required Spec Spec { get; init; }

    /// <summary>The root file system in the guest.</summary>
    public required string Rootfs { get; init; }

    /// <summary>Guest paths of bind mounts' sources, by index into the spec's mounts.</summary>
    public required IReadOnlyDictionary<int, string> MountSources { get; init; }

    /// <summary>The guest's numbers of disks that are block devices of the host, by index into linux.devices.</summary>
    public IReadOnlyDictionary<int, (uint Major, uint Minor)> Disks { get; init; } = new Dictionary<int, (uint, uint)>();

    public required Stdio Stdio { get; init; }

    /// <summary>Namespaces of the sandbox's first container; null for that one.</summary>
    public SandboxNamespaces? Sandbox { get; init; }

    /// <summary>The network namespace that it is to share; null: as its specification says.</summary>
    public FileDescriptor? Network { get; init; }

    /// <summary>This is the first container, whose namespaces have been made before it.</summary>
    public bool Completes { get; init; }

    /// <summary>The pid namespace that is meant by a path; null: that of the sandbox's first container.</summary>
    public FileDescriptor? Processes { get; init; }

    /// <summary>Path of the bundle on the host, for hooks.</summary>
    public string Bundle { get; init; } = "";

    /// <summary>Tells how a child of the agent ends: those that run createContainer hooks.</summary>
    public required Func<int, Task<ProcessExit>> Adopt { get; init; }

    /// <summary>Compiled from linux.seccomp by the host.</summary>
    public SeccompProgram? Seccomp { get; init; }
}

/// <summary>The child's ends of its standard streams, owned by the caller. Null: /dev/null.</summary>
internal sealed record Stdio
{
    public FileDescriptor? Input { get; init; }

    public FileDescriptor? Output { get; init; }

    public FileDescriptor? Error { get; init; }

    /// <summary>A pseudo terminal in place of the three; its master is <see cref="ContainerProcess.Terminal"/>.</summary>
    public bool Terminal { get; init; }

    public ushort Columns { get; init; }

    public ushort Rows { get; init; }
}

/// <summary>Guest paths of what config.json names by the host's.</summary>
internal static class Overlays
{
    private const string Shared = "/run/katalike/shared";
    private const string TmpfsDirectory = "/run/katalike/tmpfs";

    /// <summary>Mounts of directories of such file systems.</summary>
    public const string TmpfsParts = "/run/katalike/parts";

    public const string Volumes = "/run/katalike/volumes";

    public static string Rootfs(Overlay overlay) => Below(Shared, overlay.Rootfs);

    /// <summary>Where the copy of a shared directory is.</summary>
    public static string Volume(string shared) => Below(Volumes, shared);

    public static string Tmpfs(string name) => Below(TmpfsDirectory, name);

    public static string TmpfsPart(string model) => Below(TmpfsParts, model);

    public static string SharedPath(string shared) => Below(Shared, shared);

    public static Dictionary<int, string> Sources(Overlay overlay) => overlay.Mounts.ToDictionary(
        mount => (int)mount.Index,
        mount => mount.SourceCase switch
        {
            MountSource.SourceOneofCase.Shared => Below(Shared, mount.Shared),
            MountSource.SourceOneofCase.Volume => Volume(mount.Volume),
            MountSource.SourceOneofCase.Guest => Below("/", mount.Guest.TrimStart('/')),
            _ => mount.TmpfsPath.Length > 0 ? TmpfsPart(mount.TmpfsModel) : Tmpfs(mount.SandboxTmpfs),
        });

    /// <summary>Whether a path of the guest is the host's.</summary>
    public static bool IsFromHost(string path) => path.StartsWith(Shared + '/', StringComparison.Ordinal);

    /// <summary>Whether a path of the guest is the host's, or a copy of it.</summary>
    public static bool IsShared(string path) => IsFromHost(path) || path.StartsWith(Volumes + '/', StringComparison.Ordinal);

    private static string Below(string directory, string path) =>
        path.Length == 0 || path.StartsWith('/') || path.Split('/').Contains("..")
            ? throw new ContainerException($"overlay: {path} is not a path below {directory}")
            : $"{directory.TrimEnd('/')}/{path}";
}
