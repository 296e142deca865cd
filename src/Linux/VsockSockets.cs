using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>Sockets between host and guest: AF_VSOCK (vsock(7)), and the kernel's vhost device.</summary>
public static unsafe class VsockSockets
{
    public const uint AnyCid = Libc.VMADDR_CID_ANY;
    public const uint HostCid = 2;
    public const string VhostDevice = "/dev/vhost-vsock";

    private const int AddressSize = 16;

    public static FileDescriptor Listen(uint cid, uint port)
    {
        var socket = Create();
        try
        {
            var address = Address(cid, port);
            fixed (byte* pointer = address)
                Libc.Check(Libc.bind(socket.Number, pointer, AddressSize), "bind", $"vsock port {port}");
            Libc.Check(Libc.listen(socket.Number, 8), "listen", $"vsock port {port}");
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Waits for a connection; says who dialled.</summary>
    public static (FileDescriptor Socket, uint PeerCid, uint PeerPort) Accept(FileDescriptor listener)
    {
        Span<byte> address = stackalloc byte[AddressSize];
        int result;
        fixed (byte* pointer = address)
        {
            uint length;
            do
            {
                length = AddressSize;
                result = Libc.accept4(listener.Number, pointer, &length, Libc.SOCK_CLOEXEC);
            }
            while (result < 0 && Libc.LastError == Errno.EINTR);
        }

        var socket = new FileDescriptor(Libc.Check(result, "accept4", "vsock"));
        return (socket, BinaryPrimitives.ReadUInt32LittleEndian(address[8..]),
            BinaryPrimitives.ReadUInt32LittleEndian(address[4..]));
    }

    /// <summary>This machine's own context id, by which the host names it; null as long as it has no vsock device.</summary>
    public static uint? GuestCid()
    {
        using var vsock = Files.Open("/dev/vsock", Files.ReadOnly);
        uint cid;
        Libc.Check(Libc.ioctl(vsock.Number, Libc.IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid), "ioctl", "IOCTL_VM_SOCKETS_GET_LOCAL_CID");
        return cid is > HostCid and < AnyCid ? cid : null;
    }

    /// <param name="window">How many bytes the peer may be ahead of the reader; null: 256 KiB, as the kernel has it.</param>
    public static FileDescriptor Connect(uint cid, uint port, ulong? window = null)
    {
        var socket = Create();
        try
        {
            if (window is { } bytes)
                SetWindow(socket, bytes);
            var address = Address(cid, port);
            int result;
            fixed (byte* pointer = address)
                do result = Libc.connect(socket.Number, pointer, AddressSize);
                while (result < 0 && Libc.LastError == Errno.EINTR);
            Libc.Check(result, "connect", $"vsock cid {cid} port {port}");
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Claims a context id for a guest of an open /dev/vhost-vsock; false when another guest has it.</summary>
    public static bool TrySetGuestCid(FileDescriptor vhost, uint cid)
    {
        ulong value = cid;
        if (Libc.ioctl(vhost.Number, Libc.VHOST_VSOCK_SET_GUEST_CID, &value) == 0)
            return true;
        return Libc.LastError == Errno.EADDRINUSE
            ? false
            : throw new LinuxException(Libc.LastError, "VHOST_VSOCK_SET_GUEST_CID", $"{cid}");
    }

    private static FileDescriptor Create() =>
        new(Libc.Check(Libc.socket(Libc.AF_VSOCK, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0), "socket", "AF_VSOCK"));

    // The peer is told with the request to connect, so that is when it must be set.
    private static void SetWindow(FileDescriptor socket, ulong bytes)
    {
        foreach (var option in (int[])[Libc.SO_VM_SOCKETS_BUFFER_MAX_SIZE, Libc.SO_VM_SOCKETS_BUFFER_SIZE])
            Libc.Check(Libc.setsockopt(socket.Number, Libc.AF_VSOCK, option, &bytes, sizeof(ulong)), "setsockopt", $"vsock window of {bytes} bytes");
    }

    /// <summary>struct sockaddr_vm.</summary>
    private static byte[] Address(uint cid, uint port)
    {
        var address = new byte[AddressSize];
        BinaryPrimitives.WriteUInt16LittleEndian(address, Libc.AF_VSOCK);
        BinaryPrimitives.WriteUInt32LittleEndian(address.AsSpan(4), port);
        BinaryPrimitives.WriteUInt32LittleEndian(address.AsSpan(8), cid);
        return address;
    }
}

internal static unsafe partial class Libc
{
    internal const int AF_VSOCK = 40;
    internal const uint VMADDR_CID_ANY = 0xffffffff;
    internal const int SO_VM_SOCKETS_BUFFER_SIZE = 0, SO_VM_SOCKETS_BUFFER_MAX_SIZE = 2;
    internal const nuint VHOST_VSOCK_SET_GUEST_CID = 0x4008af60, IOCTL_VM_SOCKETS_GET_LOCAL_CID = 0x7b9;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int setsockopt(int socket, int level, int option, void* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int ioctl(int fd, nuint request, void* argument);
}
