using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>Unix stream sockets, and messages that carry descriptors.</summary>
public static unsafe class UnixSockets
{
    private const int AddressSize = 110;

    /// <summary>The most descriptors that one message may carry here.</summary>
    public const int MaxDescriptors = 16;

    /// <summary>Two connected stream sockets.</summary>
    public static (FileDescriptor First, FileDescriptor Second) Pair()
    {
        var ends = stackalloc int[2];
        Libc.Check(
            Libc.socketpair(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0, ends), "socketpair");
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    /// <summary>
    /// Listens on a name in a directory. The path is never spelled out: sockaddr_un holds 107 bytes, a root may be longer.
    /// </summary>
    public static FileDescriptor Listen(FileDescriptor directory, string name, int backlog = 128)
    {
        var socket = Create();
        try
        {
            WithAddress(directory, name, "bind", socket, &Libc.bind);
            Libc.Check(Libc.listen(socket.Number, backlog), "listen", name);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Connects to a name in a directory.</summary>
    public static FileDescriptor Connect(FileDescriptor directory, string name)
    {
        var socket = Create();
        try
        {
            WithAddress(directory, name, "connect", socket, &Libc.connect);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Waits for a connection.</summary>
    public static FileDescriptor Accept(FileDescriptor listener)
    {
        int result;
        do result = Libc.accept4(listener.Number, null, null, Libc.SOCK_CLOEXEC);
        while (result < 0 && Libc.LastError == Errno.EINTR);
        return new FileDescriptor(Libc.Check(result, "accept4"));
    }

    /// <summary>Ends one direction; false when the peer is gone already.</summary>
    public static bool ShutDown(FileDescriptor socket, bool reading = false, bool writing = false)
    {
        var how = reading && writing ? Libc.SHUT_RDWR : writing ? Libc.SHUT_WR : Libc.SHUT_RD;
        return Libc.shutdown(socket.Number, how) == 0;
    }

    /// <summary>Sends bytes without SIGPIPE and, unless told so, without waiting. A count, or the negated errno.</summary>
    public static nint TrySend(
        FileDescriptor socket, ReadOnlySpan<IoVector> vectors, ReadOnlySpan<FileDescriptor> descriptors = default,
        bool wait = false)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, MaxDescriptors);
        var control = stackalloc byte[Libc.CMSG_HEADER + MaxDescriptors * sizeof(int)];
        fixed (IoVector* pointer = vectors)
        {
            var message = new Libc.MessageHeader { msg_iov = pointer, msg_iovlen = (nuint)vectors.Length };
            if (descriptors.Length > 0)
            {
                var length = (nuint)(Libc.CMSG_HEADER + descriptors.Length * sizeof(int));
                *(nuint*)control = length;
                *(int*)(control + sizeof(nuint)) = Libc.SOL_SOCKET;
                *(int*)(control + sizeof(nuint) + sizeof(int)) = Libc.SCM_RIGHTS;
                for (var i = 0; i < descriptors.Length; i++)
                    ((int*)(control + Libc.CMSG_HEADER))[i] = descriptors[i].Number;
                message.msg_control = control;
                message.msg_controllen = length;
            }

            nint result;
            do result = Libc.sendmsg(socket.Number, &message, Libc.MSG_NOSIGNAL | (wait ? 0 : Libc.MSG_DONTWAIT));
            while (result < 0 && Libc.LastError == Errno.EINTR);
            return result < 0 ? -(nint)Libc.LastError : result;
        }
    }

    /// <inheritdoc cref="TrySend(FileDescriptor,ReadOnlySpan{IoVector},ReadOnlySpan{FileDescriptor},bool)"/>
    public static nint TrySend(
        FileDescriptor socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<FileDescriptor> descriptors = default,
        bool wait = false)
    {
        fixed (byte* pointer = bytes)
            return TrySend(socket, [new IoVector((nint)pointer, bytes.Length)], descriptors, wait);
    }

    /// <summary>Receives bytes without waiting. A count (0 at the end), or the negated errno.</summary>
    public static nint TryReceive(FileDescriptor socket, ReadOnlySpan<IoVector> vectors)
    {
        fixed (IoVector* pointer = vectors)
        {
            var message = new Libc.MessageHeader { msg_iov = pointer, msg_iovlen = (nuint)vectors.Length };
            nint result;
            do result = Libc.recvmsg(socket.Number, &message, Libc.MSG_DONTWAIT | Libc.MSG_CMSG_CLOEXEC);
            while (result < 0 && Libc.LastError == Errno.EINTR);
            return result < 0 ? -(nint)Libc.LastError : result;
        }
    }

    /// <summary>Receives bytes and the descriptors that came with them, which are then the caller's to close.</summary>
    public static nint TryReceive(
        FileDescriptor socket, Span<byte> buffer, ICollection<FileDescriptor> descriptors, bool wait = false)
    {
        var control = stackalloc byte[Libc.CMSG_HEADER + MaxDescriptors * sizeof(int)];
        fixed (byte* pointer = buffer)
        {
            var vector = new IoVector((nint)pointer, buffer.Length);
            nint result;
            Libc.MessageHeader message;
            do
            {
                message = new Libc.MessageHeader
                {
                    msg_iov = &vector,
                    msg_iovlen = 1,
                    msg_control = control,
                    msg_controllen = Libc.CMSG_HEADER + MaxDescriptors * sizeof(int),
                };
                result = Libc.recvmsg(
                    socket.Number, &message, Libc.MSG_CMSG_CLOEXEC | (wait ? 0 : Libc.MSG_DONTWAIT));
            }
            while (result < 0 && Libc.LastError == Errno.EINTR);
            if (result < 0)
                return -(nint)Libc.LastError;
            TakeDescriptors(control, message.msg_controllen, descriptors);
            return result;
        }
    }

    private static void TakeDescriptors(byte* control, nuint length, ICollection<FileDescriptor> descriptors)
    {
        // SAFETY: the kernel wrote at most one SCM_RIGHTS message, which fits the buffer that it was given.
        if (length < Libc.CMSG_HEADER || *(int*)(control + sizeof(nuint)) != Libc.SOL_SOCKET ||
            *(int*)(control + sizeof(nuint) + sizeof(int)) != Libc.SCM_RIGHTS)
            return;
        var count = (int)((Math.Min(*(nuint*)control, length) - Libc.CMSG_HEADER) / sizeof(int));
        for (var i = 0; i < count; i++)
            descriptors.Add(new FileDescriptor(((int*)(control + Libc.CMSG_HEADER))[i]));
    }

    private static FileDescriptor Create() =>
        new(Libc.Check(Libc.socket(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));

    private static void WithAddress(
        FileDescriptor directory, string name, string call, FileDescriptor socket,
        delegate*<int, byte*, uint, int> operation)
    {
        var path = Encoding.UTF8.GetBytes($"{directory.ProcPath}/{name}");
        if (name.Contains('/', StringComparison.Ordinal) || path.Length > AddressSize - 3)
            throw new LinuxException(Errno.ENAMETOOLONG, call, name);
        var address = stackalloc byte[AddressSize];
        new Span<byte>(address, AddressSize).Clear();
        *(ushort*)address = Libc.AF_UNIX;
        path.CopyTo(new Span<byte>(address + 2, AddressSize - 2));
        int result;
        do result = operation(socket.Number, address, AddressSize);
        while (result < 0 && Libc.LastError == Errno.EINTR);
        Libc.Check(result, call, name);
    }
}

internal static unsafe partial class Libc
{
    internal const int AF_UNIX = 1, SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000;
    internal const int SOL_SOCKET = 1, SCM_RIGHTS = 1, SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2;
    internal const int MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000, MSG_CMSG_CLOEXEC = 0x40000000;

    /// <summary>sizeof(struct cmsghdr).</summary>
    internal const int CMSG_HEADER = 16;

    /// <summary>struct msghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct MessageHeader
    {
        internal void* msg_name;
        internal uint msg_namelen;
        internal IoVector* msg_iov;
        internal nuint msg_iovlen;
        internal void* msg_control;
        internal nuint msg_controllen;
        internal int msg_flags;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int socketpair(int domain, int type, int protocol, int* ends);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int bind(int fd, byte* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int listen(int fd, int backlog);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int connect(int fd, byte* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int accept4(int fd, byte* address, uint* length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int shutdown(int fd, int how);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint sendmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint recvmsg(int fd, MessageHeader* message, int flags);
}
