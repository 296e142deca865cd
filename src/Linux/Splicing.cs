using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SPLICE_F_MOVE = 1;
    internal const int SPLICE_F_NONBLOCK = 2;
    internal const int F_GETFL = 3;
    internal const int F_SETFL = 4;
    internal const int F_SETPIPE_SZ = 1031;
    internal const nuint FIONREAD = 0x541B;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint splice(int source, long* sourceOffset, int sink, long* sinkOffset, nuint length, uint flags);
}

/// <summary>Moving of bytes between a pipe and another descriptor without a buffer of ours (splice(2)).</summary>
public static unsafe class Splicing
{
    /// <summary>Moves what it can without waiting; one of the two must be a pipe.</summary>
    /// <returns>The count, 0 at the source's end, or the negated errno; -EAGAIN says that either side would block.</returns>
    public static nint TrySplice(FileDescriptor source, FileDescriptor sink, int length)
    {
        nint result;
        do
        {
            result = Libc.splice(
                source.Number, null, sink.Number, null, (nuint)length, Libc.SPLICE_F_MOVE | Libc.SPLICE_F_NONBLOCK);
        }
        while (result < 0 && Libc.LastError == Errno.EINTR);
        return result < 0 ? -(nint)Libc.LastError : result;
    }

    /// <summary>A pipe's reading and writing end, with room for this many bytes where the kernel allows it, and else for 64 KiB.</summary>
    public static (FileDescriptor Read, FileDescriptor Write) Pipe(int capacity)
    {
        var ends = Files.Pipe();
        _ = Libc.fcntl(ends.Write.Number, Libc.F_SETPIPE_SZ, capacity);
        return ends;
    }

    /// <summary>Bytes that a pipe, terminal or socket has ready; 0 where it cannot tell.</summary>
    public static int Available(FileDescriptor source)
    {
        int count = 0;
        return Libc.ioctl(source.Number, Libc.FIONREAD, &count) < 0 ? 0 : count;
    }

    /// <summary>Makes reads and writes answer EAGAIN in place of waiting: a property of the open file, not of the descriptor.</summary>
    public static void SetNonBlocking(FileDescriptor descriptor)
    {
        var flags = Libc.Check(Libc.fcntl(descriptor.Number, Libc.F_GETFL, 0), "fcntl", "F_GETFL");
        Libc.Check(Libc.fcntl(descriptor.Number, Libc.F_SETFL, flags | Libc.O_NONBLOCK), "fcntl", "F_SETFL");
    }
}
