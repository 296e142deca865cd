using KataLike.Agent.Containers;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>
/// The places of the shared directory that containers have. To the guest each is a file system of its own, which the kernel mounts when
/// the place is walked through. That is done here, once: a container that walked there by itself would get another file system of
/// the same files, on top of the mount that it has, and after taking that away still find the files.
/// </summary>
internal static class SharedPlaces
{
    private static readonly Lock Changing = new();
    private static readonly Dictionary<string, IReadOnlyList<string>> Used = [];

    /// <exception cref="LinuxException">Taken away by the host meanwhile.</exception>
    public static void Take(string containerId, IEnumerable<string> sources)
    {
        lock (Changing)
        {
            Used[containerId] = [.. sources.Where(Overlays.IsFromHost)];
            foreach (var place in Used[containerId])
                Mounts.Find(place).Dispose();
        }
    }

    /// <summary>Lets go of those that no other container has, and with them of the host's files.</summary>
    public static void Release(string containerId)
    {
        lock (Changing)
        {
            if (!Used.Remove(containerId, out var places))
                return;
            foreach (var place in places.Except(Used.Values.SelectMany(others => others)))
                MountNamespace.DetachAll(place);
        }
    }
}
