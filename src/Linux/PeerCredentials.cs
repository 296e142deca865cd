using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SO_PEERCRED = 17;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int getsockopt(int fd, int level, int name, void* value, uint* length);

    [LibraryImport("libc")]
    internal static partial uint geteuid();
}

/// <summary>Who connected to a Unix socket: struct ucred.</summary>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct PeerCredentials(int Pid, uint Uid, uint Gid)
{
    /// <summary>The user that this process acts as.</summary>
    public static uint OwnUser => Libc.geteuid();

    public static unsafe PeerCredentials Of(FileDescriptor socket)
    {
        PeerCredentials value;
        var length = (uint)sizeof(PeerCredentials);
        Libc.Check(Libc.getsockopt(socket.Number, Libc.SOL_SOCKET, Libc.SO_PEERCRED, &value, &length), "getsockopt", "SO_PEERCRED");
        return value;
    }
}
