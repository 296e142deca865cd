using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int AF_INET = 2;
    internal const int SOCK_DGRAM = 2;
    internal const nuint SIOCGIFFLAGS = 0x8913;
    internal const nuint SIOCSIFFLAGS = 0x8914;
    internal const short IFF_UP = 1;

    /// <summary>struct ifreq with the union's ifr_flags.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 40)]
    internal struct InterfaceRequest
    {
        [FieldOffset(0)]
        internal fixed byte ifr_name[16];

        [FieldOffset(16)]
        internal short ifr_flags;
    }
}

/// <summary>The loopback interface of the calling thread's network namespace.</summary>
public static unsafe class Loopback
{
    /// <summary>Brings lo up; the kernel then gives it 127.0.0.1 and ::1.</summary>
    public static void BringUp()
    {
        using var socket = new FileDescriptor(
            Libc.Check(Libc.socket(Libc.AF_INET, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0), "socket", "AF_INET"));
        var request = default(Libc.InterfaceRequest);
        // SAFETY: the name's 16 bytes hold "lo" and its end.
        request.ifr_name[0] = (byte)'l';
        request.ifr_name[1] = (byte)'o';
        Libc.Check(Libc.ioctl(socket.Number, Libc.SIOCGIFFLAGS, &request), "ioctl", "SIOCGIFFLAGS lo");
        request.ifr_flags |= Libc.IFF_UP;
        Libc.Check(Libc.ioctl(socket.Number, Libc.SIOCSIFFLAGS, &request), "ioctl", "SIOCSIFFLAGS lo");
    }
}
