using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int O_RDONLY = 0;
    internal const int O_WRONLY = 1;
    internal const int O_RDWR = 2;
    internal const int O_CLOEXEC = 0x80000;

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int open(string path, int flags, uint mode = 0);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint read(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint write(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int pipe2(int* fds, int flags);
}

/// <summary>How a file is opened; close-on-exec goes without saying.</summary>
[Flags]
public enum OpenFlags
{
    ReadOnly = Libc.O_RDONLY,
    WriteOnly = Libc.O_WRONLY,
    ReadWrite = Libc.O_RDWR,
}

/// <summary>Reading, writing and making descriptors.</summary>
public static unsafe class Files
{
    public static FileDescriptor Open(string path, OpenFlags flags) =>
        new(Libc.Check(Libc.open(path, (int)flags | Libc.O_CLOEXEC), "open", path));

    /// <summary>A pipe; both ends are closed on exec.</summary>
    public static (FileDescriptor Read, FileDescriptor Write) Pipe()
    {
        // SAFETY: the kernel fills exactly two descriptors.
        var ends = stackalloc int[2];
        Libc.Check(Libc.pipe2(ends, Libc.O_CLOEXEC), "pipe2");
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    /// <summary>Reads what is there, at most the buffer; 0 at the end.</summary>
    public static int Read(FileDescriptor file, Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            nint count;
            do
            {
                count = Libc.read(file.Number, start, (nuint)buffer.Length);
            }
            while (count < 0 && Libc.LastError == Errno.EINTR);
            return (int)Libc.Check(count, "read");
        }
    }

    /// <summary>Writes some of the buffer and says how much.</summary>
    public static int Write(FileDescriptor file, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            nint count;
            do
            {
                count = Libc.write(file.Number, start, (nuint)buffer.Length);
            }
            while (count < 0 && Libc.LastError == Errno.EINTR);
            return (int)Libc.Check(count, "write");
        }
    }
}
