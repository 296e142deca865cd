using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const ulong MS_RDONLY = 1;
    internal const ulong MS_NOSUID = 2;
    internal const ulong MS_NODEV = 4;
    internal const ulong MS_NOEXEC = 8;
    internal const ulong MS_NOATIME = 1024;
    internal const ulong MS_BIND = 4096;
    internal const ulong MS_MOVE = 8192;
    internal const ulong MS_PRIVATE = 0x40000, MS_SLAVE = 0x80000, MS_SHARED = 0x100000;
    internal const int MNT_DETACH = 2;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int mount(byte* source, byte* target, byte* type, ulong flags, byte* data);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int umount2(byte* target, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int chdir(byte* path);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int chroot(byte* path);
}

/// <summary>Flags of mount(2).</summary>
[Flags]
public enum MountFlags : ulong
{
    None = 0,
    ReadOnly = Libc.MS_RDONLY,
    NoSuid = Libc.MS_NOSUID,
    NoDev = Libc.MS_NODEV,
    NoExec = Libc.MS_NOEXEC,
    NoAtime = Libc.MS_NOATIME,
    Bind = Libc.MS_BIND,
    Move = Libc.MS_MOVE,
}

/// <summary>Mounts and the root of the calling process.</summary>
public static unsafe class Mounts
{
    /// <summary>mount(2). The operand of its error is the target.</summary>
    public static void Mount(string source, string target, string? type, MountFlags flags, string? options = null)
    {
        fixed (byte* from = Bytes(source), at = Bytes(target), kind = Bytes(type), data = Bytes(options))
        {
            Libc.Check(Libc.mount(from, at, kind, (ulong)flags, data), "mount", target);
        }
    }

    /// <summary>Unmounts; what is still in use goes when its last user does.</summary>
    public static void Detach(string target)
    {
        fixed (byte* at = Bytes(target))
        {
            Libc.Check(Libc.umount2(at, Libc.MNT_DETACH), "umount2", target);
        }
    }

    /// <summary>Makes a directory the root and the working directory of every thread of this process.</summary>
    public static void EnterRoot(string path)
    {
        fixed (byte* to = Bytes(path))
        {
            Libc.Check(Libc.chdir(to), "chdir", path);
            Mount(".", "/", null, MountFlags.Move);
        }
        fixed (byte* here = "."u8, root = "/"u8)
        {
            Libc.Check(Libc.chroot(here), "chroot", path);
            Libc.Check(Libc.chdir(root), "chdir", "/");
        }
    }

    private static byte[]? Bytes(string? text) => text is null ? null : Encoding.UTF8.GetBytes(text + '\0');
}
