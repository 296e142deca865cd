using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SIG_BLOCK = 0, SFD_CLOEXEC = 0x80000;

    [LibraryImport("libc")]
    internal static partial int pthread_sigmask(int how, ulong* set, ulong* old);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int signalfd(int fd, ulong* set, int flags);
}

/// <summary>Signals by name and number, and signals as something to read.</summary>
public static unsafe class Signals
{
    public const int SIGHUP = 1, SIGINT = 2, SIGKILL = 9, SIGPIPE = 13, SIGTERM = 15, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19;
    public const int SIGURG = 23, SIGWINCH = 28;

    /// <summary>The highest number that the kernel takes.</summary>
    public const int Last = 64;

    // sizeof(sigset_t) of glibc; the kernel's 64 signals are the first word.
    private const int SetWords = 16;

    // sizeof(struct signalfd_siginfo).
    private const int InfoSize = 128;

    private static readonly string[] Names =
    [
        "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR",
        "SYS",
    ];

    /// <summary>"SIGKILL", "kill" or "9"; any whole number is passed on. Null: no such name.</summary>
    public static int? Parse(string text)
    {
        if (int.TryParse(text, out var number))
            return number;
        var name = text.ToUpperInvariant();
        if (name.StartsWith("SIG", StringComparison.Ordinal))
            name = name[3..];
        number = name switch { "IOT" => 6, "CLD" => 17, "POLL" => 29, _ => Array.IndexOf(Names, name) };
        return number > 0 ? number : null;
    }

    /// <summary>
    /// From here on the signals are read from the descriptor instead of ending the process. Call it before threads are
    /// started: they inherit the mask, and a thread without it would take the signal.
    /// </summary>
    public static FileDescriptor Redirect(IEnumerable<int> signals)
    {
        ulong mask = 0;
        foreach (var signal in signals)
            mask |= 1UL << (signal - 1);
        Block(mask);
        BlockInFinalizerThread(mask);
        var set = stackalloc ulong[SetWords];
        new Span<ulong>(set, SetWords).Clear();
        set[0] = mask;
        return new FileDescriptor(Libc.Check(Libc.signalfd(-1, set, Libc.SFD_CLOEXEC), "signalfd"));
    }

    /// <summary>Waits for the next redirected signal.</summary>
    public static int Read(FileDescriptor signals)
    {
        Span<byte> info = stackalloc byte[InfoSize];
        Files.Read(signals, info);
        return MemoryMarshal.Read<int>(info);
    }

    private static void Block(ulong mask)
    {
        var set = stackalloc ulong[SetWords];
        new Span<ulong>(set, SetWords).Clear();
        set[0] = mask;
        var error = Libc.pthread_sigmask(Libc.SIG_BLOCK, set, null);
        if (error != 0)
            throw new LinuxException((Errno)error, "pthread_sigmask");
    }

    // The one thread that the runtime has started before Main. Code runs there by being a finalizer.
    private static void BlockInFinalizerThread(ulong mask)
    {
        Abandon(mask);
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Abandon(ulong mask) => _ = new Messenger(mask);

    private sealed class Messenger(ulong mask)
    {
        ~Messenger() => Block(mask);
    }
}
