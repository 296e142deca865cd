using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const short POLLPRI = 2;
    internal const int IN_MODIFY = 2, IN_MOVED_TO = 0x80, IN_CREATE = 0x100, IN_DELETE = 0x200;
    internal const int IN_CLOEXEC = 0x80000, AT_REMOVEDIR = 0x200;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int inotify_init1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int inotify_add_watch(int fd, byte* path, uint mask);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int inotify_rm_watch(int fd, int watch);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int unlinkat(int directory, byte* path, int flags);
}

/// <summary>Small files that the kernel makes up: /proc, /sys and cgroups. One write is one request.</summary>
public static unsafe class KernelFiles
{
    /// <summary>Reads a file to its end, or the limit.</summary>
    public static string Read(string path, FileDescriptor? directory = null, int limit = 1 << 20)
    {
        using var file = Files.Open(path, Files.ReadOnly, directory);
        return Read(file, limit);
    }

    /// <inheritdoc cref="Read(string,FileDescriptor,int)"/>
    public static string Read(FileDescriptor file, int limit = 1 << 20)
    {
        var content = new MemoryStream();
        Span<byte> buffer = stackalloc byte[4096];
        for (int count; content.Length < limit && (count = Files.Read(file, buffer)) > 0;)
            content.Write(buffer[..count]);
        return Encoding.UTF8.GetString(content.GetBuffer(), 0, (int)content.Length);
    }

    /// <summary>Writes a value to a file that is there. The operand of an error is the path and the value.</summary>
    public static void Write(string path, string value, FileDescriptor? directory = null)
    {
        using var file = Files.Open(path, Files.WriteOnly, directory);
        var result = Files.TryWrite(file, Encoding.UTF8.GetBytes(value));
        if (result < 0)
            throw new LinuxException((Errno)(-result), "write", $"{value} to {path}");
    }

    /// <summary>Waits until the kernel says that the file has changed since it was last read. False: not in time.</summary>
    /// <param name="timeout">Milliseconds.</param>
    public static bool WaitForChange(FileDescriptor file, int timeout)
    {
        var entry = new Libc.PollEntry { fd = file.Number, events = Libc.POLLPRI };
        int result;
        do result = Libc.poll(&entry, 1, timeout);
        while (result < 0 && Libc.LastError == Errno.EINTR);
        return Libc.Check(result, "poll") > 0;
    }

    /// <summary>Removes an empty directory. EBUSY: a cgroup that is not empty.</summary>
    public static void RemoveDirectory(string path)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
            Libc.Check(Libc.unlinkat(Libc.AT_FDCWD, name, Libc.AT_REMOVEDIR), "rmdir", path);
    }

    /// <summary>Makes one directory, unless it is there.</summary>
    public static void MakeDirectory(string path)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
        {
            if (Libc.mkdirat(Libc.AT_FDCWD, name, 0x1ed) < 0 && Libc.LastError != Errno.EEXIST)
                throw new LinuxException(Libc.LastError, "mkdir", path);
        }
    }
}

/// <summary>Tells when files change (inotify(7)).</summary>
public sealed unsafe class FileWatch : IDisposable
{
    private readonly FileDescriptor _watch = new(Libc.Check(Libc.inotify_init1(Libc.IN_CLOEXEC), "inotify_init1"));

    /// <summary>Adds a file; the result names it in <see cref="Next"/>.</summary>
    public int Add(string path) => Add(path, Libc.IN_MODIFY);

    /// <summary>Adds a directory, whose entries come, go or are replaced. A directory has one number, however often it is added.</summary>
    public int AddEntries(FileDescriptor directory) => Add(directory.ProcPath, Libc.IN_MOVED_TO | Libc.IN_CREATE | Libc.IN_DELETE);

    private int Add(string path, uint events)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
            return Libc.Check(Libc.inotify_add_watch(_watch.Number, name, events), "inotify_add_watch", path);
    }

    /// <summary>Removes a file, of which <see cref="Next"/> tells once more; one that has vanished is removed already.</summary>
    public void Remove(int file) => Libc.inotify_rm_watch(_watch.Number, file);

    /// <summary>Blocks until files have changed, and says which.</summary>
    public IReadOnlyList<int> Next()
    {
        Span<byte> buffer = stackalloc byte[4096];
        var changed = new List<int>();
        // struct inotify_event: watch, mask, cookie, length of the name, name.
        for (var left = (ReadOnlySpan<byte>)buffer[..Files.Read(_watch, buffer)]; left.Length >= 16;)
        {
            changed.Add(MemoryMarshal.Read<int>(left));
            left = left[(16 + MemoryMarshal.Read<int>(left[12..]))..];
        }
        return changed;
    }

    public void Dispose() => _watch.Dispose();
}
