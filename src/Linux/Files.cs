using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>One buffer of a vectored transfer: struct iovec.</summary>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct IoVector(nint Base, nint Length);

/// <summary>What a descriptor refers to (statx): the type bits of the mode, the device's number, the size in bytes.</summary>
public readonly record struct FileStatus(uint Mode, uint DeviceMajor, uint DeviceMinor, ulong Size)
{
    /// <summary>The user whose file it is.</summary>
    public uint Owner { get; init; }

    /// <summary>What it takes of its file system, bytes.</summary>
    public ulong Allocated { get; init; }

    /// <summary>Others than the owner may write to it.</summary>
    public bool OthersWrite => (Mode & (Libc.S_IWGRP | Libc.S_IWOTH)) != 0;

    public bool IsSocket => (Mode & Libc.S_IFMT) == Libc.S_IFSOCK;

    public bool IsPipe => (Mode & Libc.S_IFMT) == Libc.S_IFIFO;

    public bool IsCharacterDevice => (Mode & Libc.S_IFMT) == Libc.S_IFCHR;

    public bool IsDirectory => (Mode & Libc.S_IFMT) == Libc.S_IFDIR;

    public bool IsLink => (Mode & Libc.S_IFMT) == Libc.S_IFLNK;

    public bool IsRegular => (Mode & Libc.S_IFMT) == Libc.S_IFREG;
}

/// <summary>Opening, reading and writing by descriptor.</summary>
/// <remarks>The Try verbs answer a byte count, or the negated errno; EINTR is retried.</remarks>
public static unsafe class Files
{
    public const int ReadOnly = 0, WriteOnly = 1, ReadWrite = 2;
    public const int Create = Libc.O_CREAT, Exclusive = Libc.O_EXCL, Append = Libc.O_APPEND, Truncate = Libc.O_TRUNC;
    public const int NonBlocking = Libc.O_NONBLOCK, NoControllingTerminal = Libc.O_NOCTTY;
    public const int Directory = Libc.O_DIRECTORY, PathOnly = Libc.O_PATH, NoFollow = Libc.O_NOFOLLOW;

    /// <summary>Opens a path, relative to a directory when one is given. Always closed on exec.</summary>
    public static FileDescriptor Open(string path, int flags, FileDescriptor? directory = null, uint mode = 0) =>
        Open(Encoding.UTF8.GetBytes(path + '\0'), flags, directory, mode);

    /// <inheritdoc cref="Open(string,int,FileDescriptor,uint)"/>
    /// <param name="name">Ended by a zero.</param>
    public static FileDescriptor Open(byte[] name, int flags, FileDescriptor? directory, uint mode = 0)
    {
        var at = directory?.Number ?? Libc.AT_FDCWD;
        int result;
        fixed (byte* pointer = name)
            do result = Libc.openat(at, pointer, flags | Libc.O_CLOEXEC, mode);
            while (result < 0 && Libc.LastError == Errno.EINTR);
        return new FileDescriptor(result >= 0 ? result : throw new LinuxException(Libc.LastError, "open", Encoding.UTF8.GetString(name, 0, name.Length - 1)));
    }

    /// <summary>A new open file description for what a descriptor refers to, with flags of its own.</summary>
    public static FileDescriptor Reopen(FileDescriptor descriptor, int flags) => Open(descriptor.ProcPath, flags);

    /// <summary>A pipe's reading and writing end.</summary>
    public static (FileDescriptor Read, FileDescriptor Write) Pipe(int flags = 0)
    {
        var ends = stackalloc int[2];
        Libc.Check(Libc.pipe2(ends, flags | Libc.O_CLOEXEC), "pipe2");
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    /// <summary>Where the next read or write of the open file is, in bytes from its start.</summary>
    public static void Seek(FileDescriptor descriptor, long offset)
    {
        if (Libc.lseek(descriptor.Number, offset, Libc.SEEK_SET) < 0)
            throw new LinuxException(Libc.LastError, "lseek");
    }

    /// <summary>Writes all bytes at a place of a regular file.</summary>
    public static void WriteAt(FileDescriptor descriptor, long offset, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            nint count;
            fixed (byte* pointer = bytes)
                count = Libc.pwrite(descriptor.Number, pointer, (nuint)bytes.Length, offset);
            if (count < 0 && Libc.LastError != Errno.EINTR)
                throw new LinuxException(Libc.LastError, "pwrite");
            bytes = bytes[(int)Math.Max(0, count)..];
            offset += Math.Max(0, count);
        }
    }

    /// <summary>Fills the buffer from a place in a file.</summary>
    /// <exception cref="LinuxException">It cannot be read; EIO: it ends before.</exception>
    public static void ReadAt(FileDescriptor descriptor, long offset, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            nint count;
            fixed (byte* pointer = bytes)
                count = Libc.pread(descriptor.Number, pointer, (nuint)bytes.Length, offset);
            if (count <= 0)
                throw new LinuxException(count == 0 ? Errno.EIO : Libc.LastError, "pread");
            bytes = bytes[(int)count..];
            offset += count;
        }
    }

    /// <summary>Whether two descriptors are of the same file, namespace or directory.</summary>
    public static bool AreSame(FileDescriptor left, FileDescriptor right) => Identity(left) == Identity(right);

    /// <summary>The number of a file's device, and its own on that.</summary>
    public static (uint Major, uint Minor, ulong Inode) Identity(FileDescriptor descriptor)
    {
        Libc.StatxBuffer buffer;
        byte empty = 0;
        Libc.Check(Libc.statx(descriptor.Number, &empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &buffer), "statx");
        return (buffer.stx_dev_major, buffer.stx_dev_minor, buffer.stx_ino);
    }

    public static FileStatus Status(FileDescriptor descriptor)
    {
        Libc.StatxBuffer buffer;
        byte empty = 0;
        Libc.Check(
            Libc.statx(descriptor.Number, &empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &buffer), "statx");
        return new FileStatus(buffer.stx_mode, buffer.stx_rdev_major, buffer.stx_rdev_minor, buffer.stx_size) { Owner = buffer.stx_uid, Allocated = buffer.stx_blocks * 512 };
    }

    /// <summary>Reads what is there, at most the buffer; 0 at the end.</summary>
    public static int Read(FileDescriptor descriptor, Span<byte> buffer) =>
        Checked(TryRead(descriptor, buffer), "read");

    /// <summary>Writes some of the buffer and says how much.</summary>
    public static int Write(FileDescriptor descriptor, ReadOnlySpan<byte> buffer) =>
        Checked(TryWrite(descriptor, buffer), "write");

    private static int Checked(nint result, string call) =>
        result >= 0 ? (int)result : throw new LinuxException((Errno)(-result), call);

    public static nint TryRead(FileDescriptor descriptor, Span<byte> buffer)
    {
        fixed (byte* pointer = buffer)
        {
            nint result;
            do result = Libc.read(descriptor.Number, pointer, (nuint)buffer.Length);
            while (result < 0 && Libc.LastError == Errno.EINTR);
            return result < 0 ? -(nint)Libc.LastError : result;
        }
    }

    public static nint TryWrite(FileDescriptor descriptor, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* pointer = buffer)
        {
            nint result;
            do result = Libc.write(descriptor.Number, pointer, (nuint)buffer.Length);
            while (result < 0 && Libc.LastError == Errno.EINTR);
            return result < 0 ? -(nint)Libc.LastError : result;
        }
    }

    public static nint TryRead(FileDescriptor descriptor, ReadOnlySpan<IoVector> vectors)
    {
        fixed (IoVector* pointer = vectors)
        {
            nint result;
            do result = Libc.readv(descriptor.Number, pointer, vectors.Length);
            while (result < 0 && Libc.LastError == Errno.EINTR);
            return result < 0 ? -(nint)Libc.LastError : result;
        }
    }

    public static nint TryWrite(FileDescriptor descriptor, ReadOnlySpan<IoVector> vectors)
    {
        fixed (IoVector* pointer = vectors)
        {
            nint result;
            do result = Libc.writev(descriptor.Number, pointer, vectors.Length);
            while (result < 0 && Libc.LastError == Errno.EINTR);
            return result < 0 ? -(nint)Libc.LastError : result;
        }
    }
}

internal static unsafe partial class Libc
{
    internal const int AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000;
    internal const int O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200, O_APPEND = 0x400;
    internal const int O_NONBLOCK = 0x800, O_DIRECTORY = 0x10000, O_NOFOLLOW = 0x20000, O_CLOEXEC = 0x80000;
    internal const int O_PATH = 0x200000;
    internal const uint S_IFMT = 0xf000, S_IFSOCK = 0xc000, S_IFREG = 0x8000, S_IFDIR = 0x4000, S_IFCHR = 0x2000, S_IFIFO = 0x1000;
    internal const int SEEK_SET = 0;
    internal const uint S_IWGRP = 0x10, S_IWOTH = 2;
    internal const uint STATX_BASIC_STATS = 0x7ff;

    /// <summary>struct statx; only the fields that are read here.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct StatxBuffer
    {
        [FieldOffset(20)] internal uint stx_uid;
        [FieldOffset(24)] internal uint stx_gid;
        [FieldOffset(28)] internal ushort stx_mode;
        [FieldOffset(32)] internal ulong stx_ino;
        [FieldOffset(40)] internal ulong stx_size;
        [FieldOffset(48)] internal ulong stx_blocks;
        [FieldOffset(128)] internal uint stx_rdev_major;
        [FieldOffset(132)] internal uint stx_rdev_minor;
        [FieldOffset(136)] internal uint stx_dev_major;
        [FieldOffset(140)] internal uint stx_dev_minor;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int openat(int directory, byte* path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int statx(int directory, byte* path, int flags, uint mask, StatxBuffer* buffer);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint read(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint write(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint pread(int fd, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint pwrite(int fd, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial long lseek(int fd, long offset, int whence);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint readv(int fd, IoVector* vectors, int count);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint writev(int fd, IoVector* vectors, int count);
}
