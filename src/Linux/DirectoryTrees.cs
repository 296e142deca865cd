using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fchown(int fd, uint uid, uint gid);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fchmod(int fd, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int renameat(int fromDirectory, byte* from, int toDirectory, byte* to);

    internal const int SYS_getdents64 = 217;
}

/// <summary>Copies entries of directories by descriptor; no link is ever followed. Names are bytes: any will do.</summary>
public static unsafe class DirectoryTrees
{
    /// <summary>The names in an open directory, without "." and "..", each ended by a zero.</summary>
    public static IReadOnlyList<byte[]> Names(FileDescriptor directory)
    {
        var names = new List<byte[]>();
        var buffer = new byte[32 * 1024];
        while (Next(directory, buffer) is > 0 and var count)
        {
            // struct linux_dirent64: inode (8), offset (8), length (2), type (1), name.
            for (var rest = buffer.AsSpan(0, count); rest.Length > 0; rest = rest[BitConverter.ToUInt16(rest[16..])..])
            {
                var name = rest[19..];
                name = name[..(name.IndexOf((byte)0) + 1)];
                if (!name.SequenceEqual(".\0"u8) && !name.SequenceEqual("..\0"u8))
                    names.Add(name.ToArray());
            }
        }
        return names;
    }

    private static int Next(FileDescriptor directory, byte[] buffer)
    {
        fixed (byte* pointer = buffer)
            return (int)Libc.Check(Libc.syscall(Libc.SYS_getdents64, directory.Number, (nint)pointer, buffer.Length), "getdents64");
    }

    /// <summary>Where the link of that name points to; null if there is none.</summary>
    public static string? LinkTarget(FileDescriptor directory, string name)
    {
        var target = stackalloc byte[4096];
        fixed (byte* pointer = Encoding.UTF8.GetBytes(name + '\0'))
        {
            var length = Libc.readlinkat(directory.Number, pointer, target, 4096);
            return length < 0 ? null : Encoding.UTF8.GetString(target, (int)length);
        }
    }

    /// <summary>Renames within a directory, over what has the new name.</summary>
    public static void Rename(FileDescriptor directory, string from, string to)
    {
        fixed (byte* old = Encoding.UTF8.GetBytes(from + '\0'), name = Encoding.UTF8.GetBytes(to + '\0'))
            Libc.Check(Libc.renameat(directory.Number, old, directory.Number, name), "rename", from);
    }

    /// <summary>Copies a file, link or empty directory, with owner and mode; other kinds are left out.</summary>
    /// <returns>For a directory: both, open, so that its entries can follow.</returns>
    public static (FileDescriptor Source, FileDescriptor Copy)? CopyEntry(FileDescriptor from, FileDescriptor to, byte[] name)
    {
        fixed (byte* pointer = name)
        {
            Libc.StatxBuffer status;
            Libc.Check(Libc.statx(from.Number, pointer, Libc.AT_SYMLINK_NOFOLLOW, Libc.STATX_BASIC_STATS, &status), "statx", Shown(name));
            switch (status.stx_mode & Libc.S_IFMT)
            {
                case Libc.S_IFDIR:
                    Libc.Check(Libc.mkdirat(to.Number, pointer, 0x1c0), "mkdir", Shown(name));
                    return OpenBoth(from, to, name, Files.ReadOnly | Files.Directory, 0);
                case Libc.S_IFREG:
                    var (source, copy) = OpenBoth(from, to, name, Files.ReadOnly, Files.WriteOnly | Files.Create | Files.Exclusive);
                    using (source)
                    using (copy)
                        CopyContent(source, copy);
                    return null;
                case Libc.S_IFLNK:
                    var target = stackalloc byte[4096];
                    var length = Libc.Check(Libc.readlinkat(from.Number, pointer, target, 4095), "readlink", Shown(name));
                    target[length] = 0;
                    Libc.Check(Libc.symlinkat(target, to.Number, pointer), "symlink", Shown(name));
                    Libc.Check(Libc.fchownat(to.Number, pointer, status.stx_uid, status.stx_gid, Libc.AT_SYMLINK_NOFOLLOW), "chown", Shown(name));
                    return null;
                default:
                    return null;
            }
        }
    }

    /// <summary>Gives a file the owner and the mode of another.</summary>
    public static void CopyOwner(FileDescriptor from, FileDescriptor to)
    {
        Libc.StatxBuffer status;
        byte empty = 0;
        Libc.Check(Libc.statx(from.Number, &empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &status), "statx");
        Libc.Check(Libc.fchown(to.Number, status.stx_uid, status.stx_gid), "fchown");
        Libc.Check(Libc.fchmod(to.Number, status.stx_mode & 0xfffu), "fchmod");
    }

    private static string Shown(byte[] name) => Encoding.UTF8.GetString(name, 0, name.Length - 1);

    private static (FileDescriptor, FileDescriptor) OpenBoth(FileDescriptor from, FileDescriptor to, byte[] name, int flags, int create)
    {
        var source = Files.Open(name, flags | Files.NoFollow | Files.NonBlocking, from);
        try
        {
            var copy = Files.Open(name, (create == 0 ? flags : create) | Files.NoFollow, to, mode: 0x180);
            CopyOwner(source, copy);
            return (source, copy);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    private static void CopyContent(FileDescriptor from, FileDescriptor to)
    {
        var buffer = new byte[64 * 1024];
        for (int count; (count = Files.Read(from, buffer)) > 0;)
        {
            for (var rest = buffer.AsSpan(0, count); rest.Length > 0;)
                rest = rest[Files.Write(to, rest)..];
        }
    }
}
