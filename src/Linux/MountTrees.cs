namespace KataLike.Linux;

/// <summary>What a mount does with mounts that appear below its peers (mount_namespaces(7)).</summary>
public enum Propagation
{
    Private = MountPropagation.Private,
    Slave = MountPropagation.Slave,
    Shared = MountPropagation.Shared,
}

/// <summary>Detached copies of mounts, attached by path.</summary>
public static class MountTrees
{
    /// <summary>A detached bind mount of a path, as the calling thread's mount namespace has it.</summary>
    public static FileDescriptor Clone(string path, bool recursive) => Mounts.Clone(path, recursive);

    /// <summary>Attaches a detached tree at a path of the calling thread's mount namespace.</summary>
    public static void Attach(FileDescriptor tree, string path) => Mounts.Attach(tree, path);

    /// <summary>Sets the propagation of a tree and all below it, and makes it read-only if asked.</summary>
    public static void SetAttributes(FileDescriptor tree, Propagation propagation, bool readOnly) => Mounts.Change(
        tree, readOnly ? MountAttributes.ReadOnly : 0, propagation: (MountPropagation)propagation, recursive: true);
}
