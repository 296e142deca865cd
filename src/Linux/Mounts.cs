using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_pivot_root = 155, SYS_open_tree = 428, SYS_move_mount = 429, SYS_fsopen = 430;
    internal const int SYS_fsconfig = 431, SYS_fsmount = 432, SYS_mount_setattr = 442;

    internal const int OPEN_TREE_CLONE = 1, OPEN_TREE_CLOEXEC = 0x80000, AT_RECURSIVE = 0x8000;
    internal const int MOVE_MOUNT_F_EMPTY_PATH = 4, MOVE_MOUNT_T_EMPTY_PATH = 0x40;
    internal const int FSOPEN_CLOEXEC = 1, FSMOUNT_CLOEXEC = 1;
    internal const int SYS_fspick = 433, FSPICK_CLOEXEC = 1, FSPICK_EMPTY_PATH = 8;
    internal const int FSCONFIG_SET_FLAG = 0, FSCONFIG_SET_STRING = 1, FSCONFIG_CMD_CREATE = 6, FSCONFIG_CMD_RECONFIGURE = 7;
    internal const int MNT_DETACH = 2;

    internal const int MOUNT_ATTR_RDONLY = 1, MOUNT_ATTR_NOSUID = 2, MOUNT_ATTR_NODEV = 4, MOUNT_ATTR_NOEXEC = 8;
    internal const int MOUNT_ATTR__ATIME = 0x70, MOUNT_ATTR_NOATIME = 0x10, MOUNT_ATTR_STRICTATIME = 0x20;
    internal const int MOUNT_ATTR_NODIRATIME = 0x80, MOUNT_ATTR_NOSYMFOLLOW = 0x200000, MOUNT_ATTR_IDMAP = 0x100000;
    internal const int MS_UNBINDABLE = 0x20000, MS_PRIVATE = 0x40000, MS_SLAVE = 0x80000, MS_SHARED = 0x100000;

    internal struct mount_attr
    {
        internal ulong attr_set, attr_clr, propagation, userns_fd;
    }

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    internal static partial int umount2(byte* target, int flags);

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    internal static partial int fchdir(int fd);

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    internal static partial int chroot(byte* path);

    internal const int PROC_SUPER_MAGIC = 0x9fa0;

    /// <summary>The part of it that is read here.</summary>
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Sequential, Size = 120)]
    internal struct StatfsBuffer
    {
        internal long f_type;
    }

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    internal static partial int fstatfs(int fd, StatfsBuffer* status);
}

/// <summary>Attributes of a mount (mount_setattr(2)). Relative atime is the absence of the other two.</summary>
[Flags]
public enum MountAttributes
{
    None = 0,
    ReadOnly = Libc.MOUNT_ATTR_RDONLY,
    NoSetUserId = Libc.MOUNT_ATTR_NOSUID,
    NoDevices = Libc.MOUNT_ATTR_NODEV,
    NoExecution = Libc.MOUNT_ATTR_NOEXEC,
    NoAccessTime = Libc.MOUNT_ATTR_NOATIME,
    StrictAccessTime = Libc.MOUNT_ATTR_STRICTATIME,
    AccessTime = Libc.MOUNT_ATTR__ATIME,
    NoDirectoryAccessTime = Libc.MOUNT_ATTR_NODIRATIME,
    NoSymbolicLinks = Libc.MOUNT_ATTR_NOSYMFOLLOW,

    /// <summary>All but how access times are kept.</summary>
    Restrictions = ReadOnly | NoSetUserId | NoDevices | NoExecution | NoDirectoryAccessTime | NoSymbolicLinks,
}

/// <summary>Where mount events go (mount_namespaces(7)).</summary>
public enum MountPropagation
{
    Unchanged = 0,
    Unbindable = Libc.MS_UNBINDABLE,
    Private = Libc.MS_PRIVATE,
    Slave = Libc.MS_SLAVE,
    Shared = Libc.MS_SHARED,
}

/// <summary>An option of a file system: a flag where the value is null.</summary>
public readonly record struct MountOption(string Key, string? Value = null);

/// <summary>
/// Mounts by descriptor: a mount is made detached, given its attributes, and then attached to a directory or file that
/// is already open, so no path is resolved twice.
/// </summary>
public static unsafe class Mounts
{
    /// <summary>A detached copy of the mount (from that file or directory down) that a descriptor refers to.</summary>
    public static FileDescriptor Clone(FileDescriptor source, bool recursive)
    {
        var flags = Libc.OPEN_TREE_CLONE | Libc.OPEN_TREE_CLOEXEC | Libc.AT_EMPTY_PATH | (recursive ? Libc.AT_RECURSIVE : 0);
        return With("", empty => new FileDescriptor((int)Check(
            Libc.syscall(Libc.SYS_open_tree, source.Number, empty, flags), "open_tree", null)));
    }

    /// <inheritdoc cref="Clone(FileDescriptor,bool)"/>
    public static FileDescriptor Clone(string path, bool recursive)
    {
        using var source = Files.Open(path, Files.PathOnly);
        return Clone(source, recursive);
    }

    /// <summary>Opens a path (as a place, O_PATH); what the kernel mounts there when it is walked through is mounted by then.</summary>
    public static FileDescriptor Find(string path) => With(path, name => new FileDescriptor((int)Check(
        Libc.syscall(Libc.SYS_open_tree, Libc.AT_FDCWD, name, Libc.OPEN_TREE_CLOEXEC), "open_tree", path)));

    /// <summary>A new, detached mount of a file system.</summary>
    /// <exception cref="LinuxException">The type or an option is not known to the kernel; the operand says which.</exception>
    public static FileDescriptor Create(
        string type, string? source, IReadOnlyList<MountOption> options, MountAttributes attributes = 0)
    {
        using var context = With(type, name => new FileDescriptor((int)Check(
            Libc.syscall(Libc.SYS_fsopen, name, Libc.FSOPEN_CLOEXEC), "mount", type)));
        Configure(context, source is null ? options : options.Prepend(new MountOption("source", source)), type);
        Check(Libc.syscall(Libc.SYS_fsconfig, context.Number, Libc.FSCONFIG_CMD_CREATE), "mount", type);
        var mount = Libc.syscall(Libc.SYS_fsmount, context.Number, Libc.FSMOUNT_CLOEXEC, (int)attributes);
        return new FileDescriptor((int)Check(mount, "mount", type));
    }

    /// <summary>Changes options of the file system that is mounted there; those that are not named stay.</summary>
    /// <exception cref="LinuxException">EINVAL: an option is not known, or nothing is mounted there.</exception>
    public static void Reconfigure(FileDescriptor mount, IReadOnlyList<MountOption> options)
    {
        using var context = With("", empty => new FileDescriptor((int)Check(
            Libc.syscall(Libc.SYS_fspick, mount.Number, empty, Libc.FSPICK_CLOEXEC | Libc.FSPICK_EMPTY_PATH), "remount", null)));
        Configure(context, options, "the file system");
        Check(Libc.syscall(Libc.SYS_fsconfig, context.Number, Libc.FSCONFIG_CMD_RECONFIGURE), "remount", null);
    }

    private static void Configure(FileDescriptor context, IEnumerable<MountOption> options, string type)
    {
        foreach (var option in options)
        {
            var command = option.Value is null ? Libc.FSCONFIG_SET_FLAG : Libc.FSCONFIG_SET_STRING;
            _ = With(option.Key, key => With(option.Value ?? "", value => Check(
                Libc.syscall(Libc.SYS_fsconfig, context.Number, command, key, option.Value is null ? 0 : value),
                "mount", $"{type} with option {option.Key}")));
        }
    }

    /// <summary>Changes a mount, and with <paramref name="recursive"/> those below it.</summary>
    public static void Change(
        FileDescriptor mount, MountAttributes set, MountAttributes clear = 0,
        MountPropagation propagation = MountPropagation.Unchanged, bool recursive = false)
    {
        if ((set & MountAttributes.AccessTime) != 0)
            clear |= MountAttributes.AccessTime;
        SetAttributes(
            mount, new Libc.mount_attr { attr_set = (ulong)set, attr_clr = (ulong)clear, propagation = (ulong)propagation }, recursive);
    }

    /// <summary>
    /// Makes a detached mount show owners as a user namespace maps them (mount_setattr(2), "ID-mapped mounts"). EINVAL:
    /// its file system cannot.
    /// </summary>
    public static void MapIds(FileDescriptor mount, FileDescriptor userNamespace, bool recursive) => SetAttributes(
        mount, new Libc.mount_attr { attr_set = Libc.MOUNT_ATTR_IDMAP, userns_fd = (ulong)userNamespace.Number }, recursive);

    private static void SetAttributes(FileDescriptor mount, Libc.mount_attr change, bool recursive)
    {
        var flags = Libc.AT_EMPTY_PATH | (recursive ? Libc.AT_RECURSIVE : 0);
        byte empty = 0;
        // SAFETY: an empty path and the structure live for the call.
        Libc.Check(
            Libc.syscall(Libc.SYS_mount_setattr, mount.Number, (nint)(&empty), flags, (nint)(&change), sizeof(Libc.mount_attr)),
            "mount_setattr");
    }

    /// <summary>Attaches a detached mount to an open directory or file.</summary>
    public static void Attach(FileDescriptor mount, FileDescriptor target) =>
        With("", empty => Check(
            Libc.syscall(Libc.SYS_move_mount, mount.Number, empty, target.Number, empty,
                Libc.MOVE_MOUNT_F_EMPTY_PATH | Libc.MOVE_MOUNT_T_EMPTY_PATH),
            "move_mount", null));

    /// <inheritdoc cref="Attach(FileDescriptor,FileDescriptor)"/>
    public static void Attach(FileDescriptor mount, string path)
    {
        using var target = Files.Open(path, Files.PathOnly);
        Attach(mount, target);
    }

    /// <summary>Whether a file is one of proc's.</summary>
    public static bool IsProc(FileDescriptor file)
    {
        Libc.StatfsBuffer status;
        Libc.Check(Libc.fstatfs(file.Number, &status), "fstatfs");
        return status.f_type == Libc.PROC_SUPER_MAGIC;
    }

    /// <summary>Detaches what is mounted there, and what is below it.</summary>
    public static void Detach(string path) =>
        With(path, name => Check(Libc.umount2((byte*)name, Libc.MNT_DETACH), "umount2", path));

    /// <summary>
    /// Makes a mount the root directory of this mount namespace and lets go of the old one. Every process and thread
    /// of the namespace whose root is the old one gets the new one (pivot_root(2)).
    /// </summary>
    /// <remarks>Call it from a thread with its own working directory (<see cref="NamespaceThread"/>).</remarks>
    public static void PivotInto(FileDescriptor root)
    {
        Libc.Check(Libc.fchdir(root.Number), "fchdir");
        // Old and new root at the same place: the old one is then on top, and is let go.
        _ = With(".", here => Check(Libc.syscall(Libc.SYS_pivot_root, here, here), "pivot_root", null));
        Detach(".");
        using var top = Files.Open("/", Files.PathOnly);
        Libc.Check(Libc.fchdir(top.Number), "fchdir", "/");
    }

    /// <summary>
    /// The initial root file system has no parent mount, and pivot_root refuses such a root. PID 1 calls this before it
    /// mounts anything else: a copy of the root covers the root.
    /// </summary>
    public static void CoverInitialRoot()
    {
        using var cover = Clone("/", recursive: false);
        Attach(cover, "/");
        Libc.Check(Libc.fchdir(cover.Number), "fchdir");
        _ = With(".", here => Check(Libc.chroot((byte*)here), "chroot", "."));
    }

    private static T With<T>(string text, Func<nint, T> call)
    {
        // SAFETY: the text is terminated and pinned for the call.
        fixed (byte* pointer = Encoding.UTF8.GetBytes(text + '\0'))
            return call((nint)pointer);
    }

    private static nint Check(nint result, string call, string? operand) => Libc.Check(result, call, operand);
}
