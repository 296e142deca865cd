using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_openat2 = 437;
    internal const int RESOLVE_NO_SYMLINKS = 4, RESOLVE_IN_ROOT = 0x10;
    internal const int AT_SYMLINK_NOFOLLOW = 0x100;
    internal const uint S_IFLNK = 0xa000, S_IFBLK = 0x6000;

    internal struct open_how
    {
        internal ulong flags, mode, resolve;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int mkdirat(int directory, byte* path, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int mknodat(int directory, byte* path, uint mode, ulong device);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int symlinkat(byte* target, int directory, byte* path);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fchownat(int directory, byte* path, uint uid, uint gid, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint readlinkat(int directory, byte* path, byte* buffer, nuint size);
}

/// <summary>
/// Paths as a process whose root is this directory sees them: neither ".." nor a symbolic link leads out, whoever made
/// the link.
/// </summary>
/// <param name="owner">Of what is made there: the root user of the container's user namespace.</param>
public sealed unsafe class RootDirectory(FileDescriptor root, (uint User, uint Group) owner = default)
{
    private const int MaxLinks = 40;

    private string? _path;

    public FileDescriptor Root => root;

    /// <summary>Opens a path (openat2(2) with RESOLVE_IN_ROOT). ENOENT, ELOOP and the like as open(2).</summary>
    public FileDescriptor Open(string path, int flags) =>
        TryOpen(path, flags, out var file) is var errno and not Errno.None ? throw new LinuxException(errno, "open", path) : file!;

    /// <summary>Opens a path, or says why not.</summary>
    public Errno TryOpen(string path, int flags, out FileDescriptor? file) =>
        TryOpen(root.Number, path.Length == 0 ? "/" : path, flags, Libc.RESOLVE_IN_ROOT, out file);

    /// <summary>Opens an absolute path of the caller's own root. ELOOP: a part of it is a symbolic link.</summary>
    public static FileDescriptor OpenWithoutLinks(string path, int flags) =>
        TryOpen(Libc.AT_FDCWD, path, flags, Libc.RESOLVE_NO_SYMLINKS, out var file) is var errno and not Errno.None
            ? throw new LinuxException(errno, "open", path) : file!;

    private static Errno TryOpen(int at, string path, int flags, ulong resolve, out FileDescriptor? file)
    {
        var how = new Libc.open_how { flags = (ulong)(uint)(flags | Libc.O_CLOEXEC), resolve = resolve };
        nint result;
        fixed (byte* name = Name(path))
            do result = Libc.syscall(Libc.SYS_openat2, at, (nint)name, (nint)(&how), sizeof(Libc.open_how));
            // EAGAIN: something was renamed meanwhile, and the kernel could not be sure that ".." stays inside.
            while (result < 0 && Libc.LastError is Errno.EINTR or Errno.EAGAIN);
        file = result < 0 ? null : new FileDescriptor((int)result);
        return result < 0 ? Libc.LastError : Errno.None;
    }

    /// <summary>Opens a directory (as a place, O_PATH), making it and those above it where they are missing.</summary>
    public FileDescriptor MakeDirectories(string path, uint mode = 0x1ed /* 0755 */) => Make(path, Libc.S_IFDIR | mode, out _);

    /// <inheritdoc cref="MakeDirectories(string,uint)"/>
    public FileDescriptor MakeDirectories(string path, out bool isNew) => Make(path, Libc.S_IFDIR | 0x1ed, out isNew);

    /// <summary>Opens a file or directory (as a place, O_PATH), making an empty file where there is nothing.</summary>
    public FileDescriptor MakeFile(string path, uint mode = 0x1a4 /* 0644 */) => Make(path, Libc.S_IFREG | mode, out _);

    /// <summary>Makes a device node or FIFO; one that is there already is left alone.</summary>
    /// <param name="mode">With the type's bits.</param>
    public void MakeNode(string path, uint mode, uint major, uint minor, uint uid, uint gid)
    {
        using var parent = MakeDirectories(Parent(path));
        fixed (byte* name = Name(Last(path)))
        {
            var result = Libc.mknodat(parent.Number, name, mode, Device(major, minor));
            if (result < 0 && Libc.LastError == Errno.EEXIST)
                return;
            Libc.Check(result, "mknod", path);
            Libc.Check(Libc.fchownat(parent.Number, name, uid, gid, Libc.AT_SYMLINK_NOFOLLOW), "chown", path);
        }
    }

    /// <summary>Makes a symbolic link; what is there already is left alone, or replaced if it is no directory.</summary>
    public void MakeLink(string path, string target, bool replace = false)
    {
        using var parent = MakeDirectories(Parent(path));
        fixed (byte* name = Name(Last(path)), text = Name(target))
        {
            if (replace)
                _ = Libc.unlinkat(parent.Number, name, 0);
            if (Libc.symlinkat(text, parent.Number, name) == 0)
                Own(parent, name, path);
            else if (Libc.LastError != Errno.EEXIST)
                throw new LinuxException(Libc.LastError, "symlink", path);
        }
    }

    private void Own(FileDescriptor directory, byte* name, string path)
    {
        if (owner != default)
            Libc.Check(Libc.fchownat(directory.Number, name, owner.User, owner.Group, Libc.AT_SYMLINK_NOFOLLOW), "chown", path);
    }

    /// <summary>Where something that is inside is, as a process whose root this is sees it, with no link on the way.</summary>
    public string PathOf(FileDescriptor inside)
    {
        var (all, above) = (Path(inside), _path ??= Path(root));
        return all.Length > above.Length && all.StartsWith(above, StringComparison.Ordinal) ? all[above.TrimEnd('/').Length..] : "/";
    }

    /// <summary>The path of an open file as the calling thread sees it, with no link on the way.</summary>
    public static string Path(FileDescriptor file)
    {
        var buffer = stackalloc byte[4096];
        fixed (byte* path = Name(file.ProcPath))
        {
            var length = Libc.Check(Libc.readlinkat(Libc.AT_FDCWD, path, buffer, 4096), "readlink", file.ProcPath);
            return Encoding.UTF8.GetString(buffer, (int)length);
        }
    }

    /// <summary>Opens what a path names; makes it, also where a dangling link points to, if it is missing.</summary>
    private FileDescriptor Make(string path, uint mode, out bool isNew)
    {
        var errno = TryOpen(path, Libc.O_PATH, out var found);
        isNew = errno == Errno.ENOENT;
        return errno switch
        {
            Errno.None => found!,
            Errno.ENOENT => Walk(path, mode),
            _ => throw new LinuxException(errno, "open", path),
        };
    }

    /// <summary>
    /// Goes down one name at a time and never follows a link by itself, so that each name is looked up in a directory
    /// that is known to be inside; ".." goes back to the descriptor that it came from.
    /// </summary>
    private FileDescriptor Walk(string path, uint mode)
    {
        // Links may hold any bytes, so each name is its bytes, as characters.
        var names = new Stack<string>(Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(path)).Split('/').Reverse());
        var trail = new Stack<FileDescriptor>();
        var links = 0;
        try
        {
            while (names.TryPop(out var name))
            {
                if (name is "" or ".")
                    continue;
                if (name == "..")
                {
                    if (trail.TryPop(out var left))
                        left.Dispose();
                    continue;
                }
                var isLast = names.All(rest => rest is "" or ".");
                var directory = trail.TryPeek(out var here) ? here : root;
                // What is missing is most likely the last: each look-up may be a message to the host.
                if (isLast)
                    TryMake(directory, name, mode, path);
                var next = Enter(directory, name, path);
                if (ReadLink(next) is not { } target)
                {
                    trail.Push(next);
                    continue;
                }
                next.Dispose();
                if (++links > MaxLinks)
                    throw new LinuxException(Errno.ELOOP, "open", path);
                if (target.StartsWith('/'))
                    Drop(trail);
                foreach (var part in target.Split('/').Reverse())
                    names.Push(part);
            }
            return trail.TryPop(out var last) ? last : root.Duplicate();
        }
        finally
        {
            Drop(trail);
        }
    }

    private static void Drop(Stack<FileDescriptor> trail)
    {
        while (trail.TryPop(out var file))
            file.Dispose();
    }

    private FileDescriptor Enter(FileDescriptor directory, string name, string path)
    {
        fixed (byte* pointer = Encoding.Latin1.GetBytes(name + '\0'))
        {
            const int flags = Libc.O_PATH | Libc.O_NOFOLLOW | Libc.O_CLOEXEC;
            var file = Libc.openat(directory.Number, pointer, flags, 0);
            if (file < 0 && Libc.LastError == Errno.ENOENT)
            {
                TryMake(directory, name, Libc.S_IFDIR | 0x1ed, path);
                file = Libc.openat(directory.Number, pointer, flags, 0);
            }
            return new FileDescriptor(Libc.Check(file, "open", path));
        }
    }

    /// <summary>Makes an empty directory or file, unless there is something of that name.</summary>
    private void TryMake(FileDescriptor directory, string name, uint mode, string path)
    {
        fixed (byte* pointer = Encoding.Latin1.GetBytes(name + '\0'))
        {
            var made = (mode & Libc.S_IFMT) == Libc.S_IFDIR
                ? Libc.mkdirat(directory.Number, pointer, mode & 0xfff)
                : Libc.mknodat(directory.Number, pointer, mode, 0);
            if (made == 0)
                Own(directory, pointer, path);
            else if (Libc.LastError != Errno.EEXIST)
                throw new LinuxException(Libc.LastError, "create", path);
        }
    }

    /// <summary>Where a link points to; null for anything else.</summary>
    private static string? ReadLink(FileDescriptor file)
    {
        var buffer = stackalloc byte[4096];
        byte empty = 0;
        var length = Libc.readlinkat(file.Number, &empty, buffer, 4096);
        return length < 0 ? null : Encoding.Latin1.GetString(buffer, (int)length);
    }

    // glibc's makedev.
    private static ulong Device(ulong major, ulong minor) =>
        ((major & 0xfffff000) << 32) | ((major & 0xfff) << 8) | ((minor & 0xffffff00) << 12) | (minor & 0xff);

    private static string Parent(string path) => path[..Math.Max(path.TrimEnd('/').LastIndexOf('/'), 0)];

    private static string Last(string path) => path.TrimEnd('/')[(path.TrimEnd('/').LastIndexOf('/') + 1)..];

    private static byte[] Name(string text) => Encoding.UTF8.GetBytes(text + '\0');
}
