using System.Runtime.InteropServices;

[assembly: System.Runtime.CompilerServices.DisableRuntimeMarshalling]

namespace KataLike.Linux;

/// <summary>
/// The signatures of libc, each in one place, with the names of the headers. Each noun of this library keeps the
/// signatures and constants it needs in its own part of this class; tests/Linux.Tests checks every constant and
/// layout against the C headers.
/// </summary>
internal static unsafe partial class Libc
{
    internal const int F_DUPFD_CLOEXEC = 1030;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int dup2(int fd, int number);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int fcntl(int fd, int command, long argument);

    /// <summary>The error of the last call on this thread that was declared with SetLastError.</summary>
    internal static Errno LastError => (Errno)Marshal.GetLastPInvokeError();

    /// <summary>Passes a result on, or throws with the operand when it is -1.</summary>
    internal static int Check(int result, string call, string? operand = null) =>
        result >= 0 ? result : throw new LinuxException(LastError, call, operand);

    /// <inheritdoc cref="Check(int,string,string)"/>
    internal static nint Check(nint result, string call, string? operand = null) =>
        result >= 0 ? result : throw new LinuxException(LastError, call, operand);
}
