using KataLike.Agent.Containers;
using KataLike.Agent.Rootfs;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>The copies of volumes whose updates the host announces, each a tmpfs: a shared file system tells nobody of changes.</summary>
internal static class Volumes
{
    // Kubernetes allows 1 MiB an object. While one replaces the other, both are there.
    private static readonly MountOption[] Bounds = [new("size", "32m"), new("nr_inodes", "8k"), new("mode", "0755")];

    public static void Update(UpdateVolumeRequest request)
    {
        if (request.Data is "" or "." or ".." || request.Data.Contains('/'))
            throw new TtrpcException(StatusCode.InvalidArgument, $"volume {request.Shared}: {request.Data} is not a name");
        var path = Overlays.Volume(request.Shared);
        try
        {
            using var source = Files.Open(Overlays.SharedPath(request.Shared), Files.ReadOnly | Files.Directory);
            if (!Directory.Exists(path))
                Make(path);
            using var copy = Files.Open(path, Files.ReadOnly | Files.Directory);
            VolumeCopy.Update(source, copy, request.Data);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.ESTALE)
        {
            throw new TtrpcException(StatusCode.NotFound, $"volume {request.Shared}: {e.Message}", e);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOSPC)
        {
            Remove(path);
            throw new TtrpcException(StatusCode.ResourceExhausted, $"volume {request.Shared}: {e.Message}", e);
        }
    }

    /// <summary>Lets go of a container's copies, and of its parts of the sandbox's file systems.</summary>
    public static void RemoveAll(string containerId)
    {
        foreach (var share in ((string[])[Overlays.Volumes, Overlays.TmpfsParts]).SelectMany(Subdirectories))
        {
            foreach (var copy in Subdirectories($"{share}/{containerId}"))
                Remove(copy);
            if (Directory.Exists($"{share}/{containerId}"))
                Directory.Delete($"{share}/{containerId}");
        }
    }

    private static void Make(string path)
    {
        using var mount = Mounts.Create("tmpfs", "volume", Bounds, MountAttributes.NoDevices);
        Directory.CreateDirectory(path);
        Mounts.Attach(mount, path);
    }

    private static void Remove(string path)
    {
        Mounts.Detach(path);
        Directory.Delete(path);
    }

    private static string[] Subdirectories(string path) => Directory.Exists(path) ? Directory.GetDirectories(path) : [];
}
