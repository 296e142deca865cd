using KataLike.Agent.Containers;
using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>File systems in memory that are common to the sandbox's containers (agent.proto, MountSource.sandbox_tmpfs).</summary>
internal static class MemoryVolumes
{
    private static readonly Lock Making = new();

    // "shm" is made before anybody has named a size; the first who does decides, since it cannot shrink below what is in it.
    private static bool _sharedMemoryIsSized;

    /// <summary>Makes those that a container needs and that are not there yet.</summary>
    public static void Make(Overlay overlay)
    {
        lock (Making)
        {
            foreach (var mount in overlay.Mounts.Where(mount => mount.SourceCase == MountSource.SourceOneofCase.SandboxTmpfs))
                Make(mount);
        }
    }

    private static void Make(MountSource mount)
    {
        var place = Overlays.Tmpfs(mount.SandboxTmpfs);
        var isNew = !Directory.Exists(place);
        MountOption[] size = mount.TmpfsSize > 0 ? [new("size", $"{mount.TmpfsSize}")] : [];
        if (isNew)
        {
            using var tmpfs = Mounts.Create("tmpfs", mount.SandboxTmpfs, [new("mode", "0777"), .. size], MountAttributes.NoDevices);
            Directory.CreateDirectory(place);
            Mounts.Attach(tmpfs, place);
        }
        using var root = Files.Open(place, Files.PathOnly);
        if (!isNew && size.Length > 0 && mount.TmpfsModel.Length == 0 && !_sharedMemoryIsSized)
        {
            Mounts.Reconfigure(root, size);
            _sharedMemoryIsSized = true;
        }
        if (mount.TmpfsModel.Length == 0)
            return;
        // What containers have put into it leads nowhere else.
        using var directory = new RootDirectory(root).MakeDirectories(mount.TmpfsPath, out var isMade);
        if (isMade || (isNew && mount.TmpfsPath.Length == 0))
            CopyOwner(mount.TmpfsModel, directory);
        if (mount.TmpfsPath.Length == 0)
            return;
        using var part = Mounts.Clone(directory, recursive: false);
        var own = Directory.CreateDirectory(Overlays.TmpfsPart(mount.TmpfsModel)).FullName;
        Mounts.Attach(part, own);
    }

    private static void CopyOwner(string model, FileDescriptor directory)
    {
        using var source = Files.Open(Overlays.SharedPath(model), Files.ReadOnly | Files.Directory);
        using var target = Files.Reopen(directory, Files.ReadOnly | Files.Directory);
        DirectoryTrees.CopyOwner(source, target);
    }
}
