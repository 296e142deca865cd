using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>
/// A tmpfs of the host in whose place the guest has one of its own, common to the sandbox's containers: so it is memory of the
/// pod, counted and limited there.
/// </summary>
/// <param name="Name">The same for all who mount it.</param>
/// <param name="Size">Bytes; 0: no limit of its own.</param>
/// <param name="Path">The directory in it that is meant; empty: its root.</param>
internal sealed record MemoryVolume(string Name, ulong Size, string Path)
{
    public const string SharedMemory = "shm";

    private const string EmptyDirectories = "/volumes/kubernetes.io~empty-dir/";

    /// <summary>What kubelet has mounted for an emptyDir in memory, or a directory in it (subPath); null for anything else.</summary>
    /// <param name="source">The path that is bind mounted.</param>
    public static MemoryVolume? Of(string source, MountTable mounts)
    {
        if (Resolve(source) is not { } path || mounts.Of(path) is not { Type: "tmpfs" } mount)
            return null;
        var whole = mounts.Entries.FirstOrDefault(other => other.Device == mount.Device && other.Root == "/" && IsEmptyDirectory(other.Place));
        if (whole is null || !Directory.Exists(path))
            return null;
        var inside = mount.Root.TrimEnd('/') + path[mount.Place.TrimEnd('/').Length..];
        return new MemoryVolume($"memory-{mount.Device.Replace(':', '-')}", MountTable.SizeOf(whole), inside.Trim('/'));
    }

    /// <summary>The sandbox's /dev/shm, as large as what the caller made for it.</summary>
    public static MemoryVolume Shared(string source, MountTable mounts) =>
        new(SharedMemory, Resolve(source) is { } path && mounts.Of(path) is { Type: "tmpfs" } mount && mount.Place == path && path != "/dev/shm" ? MountTable.SizeOf(mount) : 0, "");

    private static bool IsEmptyDirectory(string place) =>
        place.LastIndexOf(EmptyDirectories, StringComparison.Ordinal) is >= 0 and var at && !place[(at + EmptyDirectories.Length)..].Contains('/');

    private static string? Resolve(string source)
    {
        try
        {
            using var file = Files.Open(source, Files.PathOnly);
            return RootDirectory.Path(file);
        }
        catch (LinuxException)
        {
            return null; // said where it is shared
        }
    }
}
