using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>The calling thread's mount namespace. Only for threads that have left the process's own with <see cref="Leave"/>.</summary>
public static unsafe class MountNamespace
{
    private static readonly (MountAttributes Attribute, int Flag)[] Flags =
    [
        (MountAttributes.ReadOnly, Libc.MS_RDONLY), (MountAttributes.NoSetUserId, Libc.MS_NOSUID), (MountAttributes.NoDevices, Libc.MS_NODEV),
        (MountAttributes.NoExecution, Libc.MS_NOEXEC), (MountAttributes.NoAccessTime, Libc.MS_NOATIME),
        (MountAttributes.StrictAccessTime, Libc.MS_STRICTATIME), (MountAttributes.NoDirectoryAccessTime, Libc.MS_NODIRATIME),
        (MountAttributes.NoSymbolicLinks, Libc.MS_NOSYMFOLLOW),
    ];

    private static readonly Dictionary<string, int> SuperblockFlags = new()
    {
        ["sync"] = Libc.MS_SYNCHRONOUS,
        ["dirsync"] = Libc.MS_DIRSYNC,
        ["lazytime"] = Libc.MS_LAZYTIME,
    };

    /// <summary>Gives the calling thread a copy of the process's namespace; mounts of the host still appear and vanish in it.</summary>
    public static void Leave()
    {
        Libc.Check(Libc.unshare(Libc.CLONE_NEWNS), "unshare", "mount namespace");
        Call("none", "/", null, Libc.MS_REC | Libc.MS_SLAVE, null);
    }

    public static void SetPropagation(string path, MountPropagation propagation) =>
        Call("none", path, null, (int)propagation, null);

    /// <summary>mount(2) with options as in fstab. The layers of an overlay may be as many and their paths as long as they like.</summary>
    public static void Mount(string source, string target, string type, IReadOnlyList<string> options)
    {
        var parsed = MountFlags.Parse(options);
        var flags = Flags.Where(entry => parsed.Set.HasFlag(entry.Attribute)).Aggregate(0, (sum, entry) => sum | entry.Flag);
        flags = parsed.Data.Aggregate(flags, (sum, option) => sum | SuperblockFlags.GetValueOrDefault(option.Key));
        using var layers = new OverlayLayers();
        var data = string.Join(',', parsed.Data.Where(option => !SuperblockFlags.ContainsKey(option.Key))
            .Select(option => type == "overlay" ? layers.Shorten(option) : option)
            .Select(option => option.Value is null ? option.Key : $"{option.Key}={option.Value}"));
        // The kernel reads one page.
        if (Encoding.UTF8.GetByteCount(data) >= Environment.SystemPageSize)
            throw new LinuxException(Errno.E2BIG, "mount", target);
        layers.InPlace(() => Call(source, target, type, flags, data));
    }

    /// <summary>Takes away every mount that is stacked on a path; what is in use goes with its last user.</summary>
    public static void DetachAll(string path)
    {
        fixed (byte* target = Bytes(path))
            while (Libc.umount2(target, Libc.MNT_DETACH) == 0)
            {
            }
        if (Libc.LastError is not (Errno.EINVAL or Errno.ENOENT))
            throw new LinuxException(Libc.LastError, "umount2", path);
    }

    private static void Call(string source, string target, string? type, int flags, string? data)
    {
        fixed (byte* from = Bytes(source), at = Bytes(target), kind = Bytes(type), options = Bytes(data))
            Libc.Check(Libc.mount(from, at, kind, (ulong)flags, options), "mount", target);
    }

    private static byte[]? Bytes(string? text) => text is null ? null : Encoding.UTF8.GetBytes(text + '\0');
}

internal static unsafe partial class Libc
{
    internal const int MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 16, MS_DIRSYNC = 128, MS_NOSYMFOLLOW = 256;
    internal const int MS_NOATIME = 1024, MS_NODIRATIME = 2048, MS_REC = 16384, MS_RELATIME = 0x200000, MS_STRICTATIME = 0x1000000, MS_LAZYTIME = 0x2000000;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int mount(byte* source, byte* target, byte* type, ulong flags, byte* data);
}
