using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fchown(int fd, uint uid, uint gid);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fchmod(int fd, uint mode);
}

/// <summary>Copies entries of directories by descriptor; no link is ever followed.</summary>
public static unsafe class DirectoryTrees
{
    /// <summary>Copies a file, link or empty directory, with owner and mode; other kinds are left out.</summary>
    /// <returns>For a directory: both, open, so that its entries can follow.</returns>
    public static (FileDescriptor Source, FileDescriptor Copy)? CopyEntry(FileDescriptor from, FileDescriptor to, string name)
    {
        fixed (byte* pointer = Encoding.UTF8.GetBytes(name + '\0'))
        {
            Libc.StatxBuffer status;
            Libc.Check(Libc.statx(from.Number, pointer, Libc.AT_SYMLINK_NOFOLLOW, Libc.STATX_BASIC_STATS, &status), "statx", name);
            switch (status.stx_mode & Libc.S_IFMT)
            {
                case Libc.S_IFDIR:
                    Libc.Check(Libc.mkdirat(to.Number, pointer, 0x1c0), "mkdir", name);
                    return OpenBoth(from, to, name, Files.ReadOnly | Files.Directory, 0);
                case Libc.S_IFREG:
                    var (source, copy) = OpenBoth(from, to, name, Files.ReadOnly, Files.WriteOnly | Files.Create | Files.Exclusive);
                    using (source)
                    using (copy)
                        CopyContent(source, copy);
                    return null;
                case Libc.S_IFLNK:
                    var target = stackalloc byte[4096];
                    var length = Libc.Check(Libc.readlinkat(from.Number, pointer, target, 4095), "readlink", name);
                    target[length] = 0;
                    Libc.Check(Libc.symlinkat(target, to.Number, pointer), "symlink", name);
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

    private static (FileDescriptor, FileDescriptor) OpenBoth(FileDescriptor from, FileDescriptor to, string name, int flags, int create)
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
