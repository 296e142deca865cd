using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>Advisory locks on whole files (flock(2)), which end with the last descriptor of the open file.</summary>
public static class FileLock
{
    /// <summary>Takes the exclusive lock; false when someone else has it.</summary>
    public static bool TryAcquire(FileDescriptor file)
    {
        int result;
        do result = Libc.flock(file.Number, Libc.LOCK_EX | Libc.LOCK_NB);
        while (result < 0 && Libc.LastError == Errno.EINTR);
        if (result < 0 && Libc.LastError == Errno.EAGAIN)
            return false;
        Libc.Check(result, "flock");
        return true;
    }

    /// <summary>Waits for the exclusive lock.</summary>
    public static void Acquire(FileDescriptor file)
    {
        int result;
        do result = Libc.flock(file.Number, Libc.LOCK_EX);
        while (result < 0 && Libc.LastError == Errno.EINTR);
        Libc.Check(result, "flock");
    }
}

internal static partial class Libc
{
    internal const int LOCK_EX = 2, LOCK_NB = 4;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int flock(int fd, int operation);
}
