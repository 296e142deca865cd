using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>
/// Files and directories of the host that containers may write to, each at one place for all of a sandbox's containers. The guest
/// knows a file by the mount that it is reached by: reached by two, it would be two files, with neither locks nor mapped memory
/// in common.
/// </summary>
/// <remarks>What is read-only stays at a place of each container's own: its mount is what keeps the guest from writing.</remarks>
internal sealed class CommonVolumes
{
    /// <summary>Below the shared directory, beside those of the containers: no id has this character.</summary>
    public const string Directory = "@volumes";

    private readonly Lock _lock = new();
    private readonly Dictionary<Key, Volume> _volumes = [];
    private int _last;

    /// <summary>The place of a source, which <paramref name="attach"/> makes if nobody has it yet.</summary>
    public string Add(string containerId, HostShare share, FileDescriptor source, Action<string> attach)
    {
        var key = new Key(Files.Identity(source), MountsOf(RootDirectory.Path(source), share.Recursive), share.Recursive, share.Propagation);
        lock (_lock)
        {
            if (!_volumes.TryGetValue(key, out var volume))
            {
                volume = new Volume($"{Directory}/{++_last}", []);
                attach(volume.Place);
                _volumes.Add(key, volume);
            }
            volume.Users.Add(containerId);
            return volume.Place;
        }
    }

    /// <summary>Forgets a container; <paramref name="detach"/> takes away each place that nobody has any more.</summary>
    public void Remove(string containerId, Action<string> detach)
    {
        lock (_lock)
        {
            foreach (var (key, volume) in _volumes.Where(entry => entry.Value.Users.Remove(containerId) && entry.Value.Users.Count == 0).ToList())
            {
                _volumes.Remove(key);
                detach(volume.Place);
            }
        }
    }

    /// <summary>The mount that a source is on, and those below it: what a container sees there by the time that it is made.</summary>
    private static string MountsOf(string path, bool recursive)
    {
        var table = MountTable.Read();
        var below = recursive ? table.Entries.Where(entry => entry.Place.StartsWith(path.TrimEnd('/') + '/', StringComparison.Ordinal)) : [];
        return string.Join('\n', below.Prepend(table.Of(path)));
    }

    private readonly record struct Key((uint Major, uint Minor, ulong Inode) Source, string Mounts, bool Recursive, MountPropagation Propagation);

    private sealed record Volume(string Place, HashSet<string> Users);
}
