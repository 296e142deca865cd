using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>What a mount does with mounts that appear below its peers (mount_namespaces(7)).</summary>
public enum Propagation : ulong
{
    Private = Libc.MS_PRIVATE,
    Slave = Libc.MS_SLAVE,
    Shared = Libc.MS_SHARED,
}

/// <summary>Detached copies of mounts, attached by descriptor (open_tree(2), move_mount(2), mount_setattr(2)).</summary>
public static unsafe class MountTrees
{
    /// <summary>A detached bind mount of a path, as the calling thread's mount namespace has it.</summary>
    public static FileDescriptor Clone(string path, bool recursive)
    {
        var flags = Libc.OPEN_TREE_CLONE | Libc.OPEN_TREE_CLOEXEC | (recursive ? Libc.AT_RECURSIVE : 0u);
        fixed (byte* pointer = Encoding.UTF8.GetBytes(path + '\0'))
        {
            var result = Libc.syscall(Libc.SYS_open_tree, Libc.AT_FDCWD, (nint)pointer, (nint)flags);
            return new FileDescriptor((int)Libc.Check(result, "open_tree", path));
        }
    }

    /// <summary>Attaches a detached tree at a path of the calling thread's mount namespace.</summary>
    public static void Attach(FileDescriptor tree, string path)
    {
        byte empty = 0;
        fixed (byte* pointer = Encoding.UTF8.GetBytes(path + '\0'))
            Libc.Check(
                Libc.syscall(Libc.SYS_move_mount, tree.Number, (nint)(&empty), Libc.AT_FDCWD, (nint)pointer,
                    Libc.MOVE_MOUNT_F_EMPTY_PATH),
                "move_mount", path);
    }

    /// <summary>Sets the propagation of a tree and all below it, and makes it read-only if asked.</summary>
    public static void SetAttributes(FileDescriptor tree, Propagation propagation, bool readOnly)
    {
        byte empty = 0;
        var attributes = new Libc.mount_attr
        {
            attr_set = readOnly ? Libc.MOUNT_ATTR_RDONLY : 0,
            propagation = (ulong)propagation,
        };
        Libc.Check(
            Libc.syscall(Libc.SYS_mount_setattr, tree.Number, (nint)(&empty), (nint)(Libc.AT_EMPTY_PATH | Libc.AT_RECURSIVE),
                (nint)(&attributes), sizeof(Libc.mount_attr)),
            "mount_setattr", readOnly ? "read-only" : propagation.ToString());
    }
}

internal static unsafe partial class Libc
{
    internal const int SYS_open_tree = 428, SYS_move_mount = 429, SYS_mount_setattr = 442;
    internal const uint OPEN_TREE_CLONE = 1, OPEN_TREE_CLOEXEC = 0x80000, AT_RECURSIVE = 0x8000;
    internal const int MOVE_MOUNT_F_EMPTY_PATH = 4;
    internal const ulong MOUNT_ATTR_RDONLY = 1;

    internal struct mount_attr
    {
        internal ulong attr_set, attr_clr, propagation, userns_fd;
    }
}
