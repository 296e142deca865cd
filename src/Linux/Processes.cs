using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_pidfd_send_signal = 424;
    internal const int SYS_pidfd_open = 434;
    internal const int SYS_pidfd_getfd = 438;

    internal const int P_ALL = 0;
    internal const int P_PIDFD = 3;
    internal const int WEXITED = 4;
    internal const int CLD_EXITED = 1, CLD_DUMPED = 3;

    /// <summary>The part of siginfo_t that waitid fills; 128 bytes in all.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    internal struct siginfo_t
    {
        [FieldOffset(8)]
        internal int si_code;

        [FieldOffset(16)]
        internal int si_pid;

        [FieldOffset(24)]
        internal int si_status;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint syscall(nint number, nint a = 0, nint b = 0, nint c = 0, nint d = 0, nint e = 0, nint f = 0);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int waitid(int kind, uint id, siginfo_t* info, int options);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int kill(int pid, int signal);
}

/// <summary>How a process ended: by itself with a code, or by a signal.</summary>
public readonly record struct ExitStatus(bool Signalled, int Number)
{
    /// <summary>The code, or 128 plus the signal's number, as shells and runtimes count.</summary>
    public int Code => Signalled ? 128 + Number : Number;
}

/// <summary>Verbs on processes, by pidfd where there is one.</summary>
public static unsafe class Processes
{
    /// <summary>The processes that have this parent now, by /proc.</summary>
    public static IReadOnlyList<int> ChildrenOf(int parent) =>
    [
        .. from directory in Directory.EnumerateDirectories("/proc")
           let pid = int.TryParse(Path.GetFileName(directory), out var number) ? number : 0
           where pid > 0 && ParentOf(pid) == parent
           select pid,
    ];

    /// <summary>0: the process has ended.</summary>
    private static int ParentOf(int pid)
    {
        const int parent = 4;
        try
        {
            return (int)ProcessStat.Of(pid)[parent];
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <exception cref="LinuxException">ESRCH: no such process.</exception>
    public static FileDescriptor Open(int pid) =>
        new((int)Libc.Check(Libc.syscall(Libc.SYS_pidfd_open, pid), "pidfd_open", pid.ToString()));

    /// <summary>Null if there is no such process.</summary>
    public static FileDescriptor? TryOpen(int pid)
    {
        try
        {
            return Open(pid);
        }
        catch (LinuxException e) when (e.Errno == Errno.ESRCH)
        {
            return null;
        }
    }

    /// <summary>Sends a signal; false if the process has ended.</summary>
    public static bool Signal(FileDescriptor pidFd, int signal) =>
        Sent((int)Libc.syscall(Libc.SYS_pidfd_send_signal, pidFd.Number, signal), "pidfd_send_signal", signal);

    /// <summary>Sends a signal as kill(2) does, -1 and negative pids included; false if there is no such process.</summary>
    public static bool Kill(int pid, int signal) => Sent(Libc.kill(pid, signal), "kill", signal);

    private static bool Sent(int result, string call, int signal)
    {
        if (result < 0 && Libc.LastError == Errno.ESRCH)
        {
            return false;
        }
        Libc.Check(result, call, $"signal {signal}");
        return true;
    }

    /// <summary>A descriptor of another process, here (pidfd_getfd(2)); the caller must be allowed to trace it.</summary>
    public static FileDescriptor TakeDescriptor(FileDescriptor pidFd, int number) =>
        new((int)Libc.Check(Libc.syscall(Libc.SYS_pidfd_getfd, pidFd.Number, number), "pidfd_getfd", number.ToString()));

    /// <summary>Blocks until this child has ended, and reaps it.</summary>
    /// <exception cref="LinuxException">ECHILD: not a child, or reaped already.</exception>
    public static ExitStatus Wait(FileDescriptor pidFd) =>
        TryWait(Libc.P_PIDFD, (uint)pidFd.Number)?.Status ?? throw new LinuxException(Errno.ECHILD, "waitid");

    /// <summary>Blocks until any child has ended, and reaps it; null: there is no child.</summary>
    public static (int Pid, ExitStatus Status)? TryWaitForAny() => TryWait(Libc.P_ALL, 0);

    private static (int Pid, ExitStatus Status)? TryWait(int kind, uint id)
    {
        // SAFETY: the structure has the size of siginfo_t.
        var info = default(Libc.siginfo_t);
        int result;
        do
        {
            // Also tells of a child that this process traces whenever that stops.
            result = Libc.waitid(kind, id, &info, Libc.WEXITED);
        }
        while (result < 0 ? Libc.LastError == Errno.EINTR : info.si_code > Libc.CLD_DUMPED);
        if (result < 0 && Libc.LastError == Errno.ECHILD)
            return null;
        Libc.Check(result, "waitid");
        return (info.si_pid, new ExitStatus(info.si_code != Libc.CLD_EXITED, info.si_status));
    }
}
