namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int TIOCSCTTY = 0x540e;
}

/// <summary>Pseudo terminals of containers, by their masters.</summary>
public static unsafe class Terminals
{
    /// <summary>Sets the size in characters; the foreground process gets SIGWINCH.</summary>
    public static void SetSize(FileDescriptor master, ushort columns, ushort rows)
    {
        // struct winsize: rows, columns, and two that nobody uses.
        var size = stackalloc ushort[4] { rows, columns, 0, 0 };
        Libc.Check(Libc.ioctl(master.Number, Libc.TIOCSWINSZ, size), "ioctl", "TIOCSWINSZ");
    }
}
