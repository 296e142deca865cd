using KataLike.Agent.Containers;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>
/// Carries out a <see cref="RootPlan"/> on a thread in the container's own mount namespace, which is still a copy of
/// the guest's, and ends with the container's root as the root of all that is in that namespace.
/// </summary>
/// <param name="made">The mounts that the container's first process has made, by index into the plan's mounts.</param>
internal sealed class RootBuilder(RootPlan plan, IReadOnlyDictionary<int, FileDescriptor> made, string cgroup)
{
    /// <param name="ready">Called with the root once all is in place, while the guest's is still there.</param>
    public void Build(Action<FileDescriptor> ready)
    {
        // Nothing that happens here may be seen by the guest, nor by other containers.
        using (var guest = Files.Open("/", Files.PathOnly))
            Mounts.Change(guest, 0, propagation: MountPropagation.Private, recursive: true);
        using var tree = Attached();
        var root = new RootDirectory(tree, plan.Owner);
        var mounts = new MountMaker(plan, root, made, cgroup);
        for (var index = 0; index < plan.Mounts.Count; index++)
            mounts.Make(index);
        new DeviceNodes(plan, root).Make();
        On("process.cwd", plan.WorkingDirectory, path => root.MakeDirectories(path).Dispose());
        foreach (var path in plan.ReadonlyPaths)
            On("linux.readonlyPaths", path, _ => MakeReadOnly(root, path));
        foreach (var path in plan.MaskedPaths)
            On("linux.maskedPaths", path, _ => Mask(root, path));
        foreach (var mount in plan.Mounts.Where(mount => mount.ReadOnlyLast))
            mounts.Finish(mount);

        ready(tree);
        Mounts.PivotInto(tree);
        Mounts.Change(tree, plan.ReadOnly ? MountAttributes.ReadOnly : 0);
        Mounts.Change(tree, 0, propagation: plan.Propagation.Kind, recursive: plan.Propagation.Recursive);
    }

    /// <summary>The root file system as a mount of its own, over the directory that it comes from.</summary>
    private FileDescriptor Attached()
    {
        try
        {
            var tree = Mounts.Clone(plan.Path, recursive: true);
            Mounts.Attach(tree, plan.Path);
            return tree;
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"root.path: {e.Message}", e);
        }
    }

    private static void On(string field, string path, Action<string> act)
    {
        try
        {
            act(path);
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"{field}: {path}: {e.Message}", e);
        }
    }

    /// <summary>A part of the tree that can be read only; one that is missing needs no guard.</summary>
    private static void MakeReadOnly(RootDirectory root, string path)
    {
        if (Find(root, path) is not { } target)
            return;
        using (target)
        {
            using var copy = Mounts.Clone(target, recursive: true);
            Mounts.Change(copy, MountAttributes.ReadOnly);
            Mounts.Attach(copy, target);
        }
    }

    /// <summary>Covers a directory with an empty one, and anything else with /dev/null (the guest's own).</summary>
    private static void Mask(RootDirectory root, string path)
    {
        if (Find(root, path) is not { } target)
            return;
        using (target)
        {
            using var cover = Files.Status(target).IsDirectory
                ? Mounts.Create("tmpfs", "tmpfs", [new MountOption("size", "0")], MountAttributes.ReadOnly)
                : Mounts.Clone("/dev/null", recursive: false);
            Mounts.Attach(cover, target);
        }
    }

    private static FileDescriptor? Find(RootDirectory root, string path) => root.TryOpen(path, Files.PathOnly, out var file) switch
    {
        Errno.None => file,
        Errno.ENOENT => null,
        var errno => throw new LinuxException(errno, "open", path),
    };
}
