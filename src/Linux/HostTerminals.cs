using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const uint TIOCGWINSZ = 0x5413, TIOCSPTLCK = 0x40045431, TIOCGPTPEER = 0x5441;
    internal const int TCSANOW = 0;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int isatty(int fd);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int tcgetattr(int fd, byte* attributes);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int tcsetattr(int fd, int when, byte* attributes);

    [LibraryImport("libc")]
    internal static partial void cfmakeraw(byte* attributes);
}

/// <summary>The settings of a terminal, to be put back later; opaque.</summary>
public sealed class TerminalSettings
{
    // sizeof(struct termios).
    internal readonly byte[] Bytes = new byte[60];
}

/// <summary>Terminals on this side: the user's own, and pairs that are made for a container.</summary>
public static unsafe class HostTerminals
{
    public static bool IsTerminal(FileDescriptor file) => Libc.isatty(file.Number) == 1;

    /// <summary>A new pseudo terminal.</summary>
    public static (FileDescriptor Master, FileDescriptor Slave) Create()
    {
        var master = Files.Open("/dev/ptmx", Files.ReadWrite | Files.NoControllingTerminal);
        try
        {
            var unlock = 0;
            Libc.Check(Libc.ioctl(master.Number, Libc.TIOCSPTLCK, &unlock), "ioctl", "TIOCSPTLCK");
            // By descriptor: /dev/pts need not be of the same instance as /dev/ptmx.
            var flags = Files.ReadWrite | Files.NoControllingTerminal | Libc.O_CLOEXEC;
            var slave = Libc.Check(Libc.ioctl(master.Number, Libc.TIOCGPTPEER, (void*)flags), "ioctl", "TIOCGPTPEER");
            return (master, new FileDescriptor(slave));
        }
        catch
        {
            master.Dispose();
            throw;
        }
    }

    /// <summary>The size in characters; zeros where it was never set.</summary>
    public static (uint Columns, uint Rows) Size(FileDescriptor terminal)
    {
        var size = stackalloc ushort[4];
        Libc.Check(Libc.ioctl(terminal.Number, Libc.TIOCGWINSZ, size), "ioctl", "TIOCGWINSZ");
        return (size[1], size[0]);
    }

    /// <summary>Bytes pass unchanged from here on: the terminal in the guest does the editing.</summary>
    public static TerminalSettings MakeRaw(FileDescriptor terminal)
    {
        var before = new TerminalSettings();
        fixed (byte* pointer = before.Bytes)
            Libc.Check(Libc.tcgetattr(terminal.Number, pointer), "tcgetattr");
        var raw = new TerminalSettings();
        before.Bytes.CopyTo(raw.Bytes, 0);
        fixed (byte* pointer = raw.Bytes)
            Libc.cfmakeraw(pointer);
        Apply(terminal, raw);
        return before;
    }

    public static void Apply(FileDescriptor terminal, TerminalSettings settings)
    {
        fixed (byte* pointer = settings.Bytes)
            Libc.Check(Libc.tcsetattr(terminal.Number, Libc.TCSANOW, pointer), "tcsetattr");
    }
}
