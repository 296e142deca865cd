using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SO_PEERCRED = 17;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int getsockopt(int fd, int level, int name, void* value, uint* length);
}

/// <summary>Who connected to a Unix socket: struct ucred.</summary>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct PeerCredentials(int Pid, uint Uid, uint Gid)
{
    public static unsafe PeerCredentials Of(FileDescriptor socket)
    {
        PeerCredentials value;
        var length = (uint)sizeof(PeerCredentials);
        Libc.Check(Libc.getsockopt(socket.Number, Libc.SOL_SOCKET, Libc.SO_PEERCRED, &value, &length), "getsockopt", "SO_PEERCRED");
        return value;
    }
}
