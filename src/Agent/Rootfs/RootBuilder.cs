using KataLike.Agent.Containers;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>
/// Carries out a <see cref="RootPlan"/> on a thread in the container's own mount namespace, which is still a copy of
/// the guest's, and ends with the container's root as the root of all that is in that namespace.
/// </summary>
/// <param name="procs">The proc mounts that the container's first process has made, by index into the plan's mounts.</param>
internal sealed class RootBuilder(RootPlan plan, IReadOnlyDictionary<int, FileDescriptor> procs, string cgroup)
{
    public void Build()
    {
        // Nothing that happens here may be seen by the guest, nor by other containers.
        using (var guest = Files.Open("/", Files.PathOnly))
            Mounts.Change(guest, 0, propagation: MountPropagation.Private, recursive: true);
        using var tree = Attached();
        var root = new RootDirectory(tree);
        for (var index = 0; index < plan.Mounts.Count; index++)
            Mount(root, index);
        MakeDevices(root);
        root.MakeDirectories(plan.WorkingDirectory).Dispose();
        foreach (var path in plan.ReadonlyPaths)
            MakeReadOnly(root, path);
        foreach (var path in plan.MaskedPaths)
            Mask(root, path);
        foreach (var mount in plan.Mounts.Where(mount => mount.ReadOnlyLast))
            Finish(root, mount.Destination);

        Mounts.PivotInto(tree);
        Mounts.Change(tree, plan.ReadOnly ? MountAttributes.ReadOnly : 0, propagation: plan.Propagation);
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

    private void Mount(RootDirectory root, int index)
    {
        var mount = plan.Mounts[index];
        try
        {
            using var made = Make(mount, index);
            var isDirectory = mount.Kind != MountKind.Bind || Files.Status(made).IsDirectory;
            using var target = isDirectory ? root.MakeDirectories(mount.Destination) : root.MakeFile(mount.Destination);
            SetFlags(made, mount);
            Mounts.Attach(made, target);
            if (mount.Flags.CopyUp)
                TreeCopy.Copy(target, root.Open(mount.Destination, Files.ReadOnly | Files.Directory));
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"mounts[{index}] ({mount.Destination}): {e.Message}", e);
        }
    }

    private FileDescriptor Make(MountPlan mount, int index) => mount.Kind switch
    {
        MountKind.Bind => Mounts.Clone(mount.Source!, mount.Flags.Recursive),
        // In a cgroup namespace this is what mounting cgroup2 gives; and without one it shows no more than that.
        MountKind.Cgroup => Mounts.Clone(cgroup, recursive: false),
        MountKind.Proc => procs[index].Duplicate(),
        _ => Mounts.Create(mount.Type!, mount.Source, mount.Flags.Data),
    };

    private static void SetFlags(FileDescriptor made, MountPlan mount)
    {
        var flags = mount.Flags;
        var set = mount.ReadOnlyLast ? flags.Set & ~MountAttributes.ReadOnly : flags.Set;
        if ((set | flags.Clear) != 0)
            Mounts.Change(made, set, flags.Clear);
        if ((flags.RecursiveSet | flags.RecursiveClear) != 0)
            Mounts.Change(made, flags.RecursiveSet, flags.RecursiveClear, recursive: true);
        var propagation = flags.Propagation == MountPropagation.Unchanged ? MountPropagation.Private : flags.Propagation;
        Mounts.Change(made, 0, propagation: propagation, recursive: flags.RecursivePropagation);
    }

    private void MakeDevices(RootDirectory root)
    {
        foreach (var node in plan.Nodes)
            root.MakeNode(node.Path, node.Mode, node.Major, node.Minor, node.UserId, node.GroupId);
        foreach (var (path, target) in plan.Links)
            root.MakeLink(path, target);
        if (plan.Console)
            root.MakeFile("/dev/console", 0x180 /* 0600 */).Dispose();
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
        Errno.ENOENT or Errno.ENOTDIR => null,
        var errno => throw new LinuxException(errno, "open", path),
    };

    private static void Finish(RootDirectory root, string path)
    {
        using var mount = root.Open(path, Files.PathOnly);
        Mounts.Change(mount, MountAttributes.ReadOnly);
    }
}
