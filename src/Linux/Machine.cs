using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int CLOCK_REALTIME = 0;
    internal const int RB_POWER_OFF = 0x4321FEDC;
    internal const int RB_AUTOBOOT = 0x01234567;
    internal const nuint RNDADDENTROPY = 0x40085203, RNDRESEEDCRNG = 0x5207;

    /// <summary>struct timespec.</summary>
    internal struct Timespec
    {
        internal long tv_sec, tv_nsec;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int clock_settime(int clock, Timespec* time);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int reboot(int command);

    [LibraryImport("libc")]
    internal static partial void sync();
}

/// <summary>What only the first process of a machine does: its clock, its entropy, its end.</summary>
public static unsafe class Machine
{
    /// <summary>Moves the wall clock; returns what it shows then. Both in nanoseconds, since 1970.</summary>
    public static long MoveTime(long nanoseconds)
    {
        if (nanoseconds != 0)
            SetTime(DateTimeOffset.UtcNow.AddTicks(nanoseconds / TimeSpan.NanosecondsPerTick));
        return (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks * TimeSpan.NanosecondsPerTick;
    }

    /// <summary>Sets the wall clock.</summary>
    public static void SetTime(DateTimeOffset now)
    {
        var ticks = now.UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks;
        var time = new Libc.Timespec
        {
            tv_sec = ticks / TimeSpan.TicksPerSecond,
            tv_nsec = ticks % TimeSpan.TicksPerSecond * TimeSpan.NanosecondsPerTick,
        };
        Libc.Check(Libc.clock_settime(Libc.CLOCK_REALTIME, &time), "clock_settime");
    }

    /// <summary>Adds bytes to the random number generator, credits them in full, and makes all that it gives from now on depend on them (random(4)).</summary>
    /// <param name="random">/dev/random, open for writing.</param>
    public static void AddEntropy(FileDescriptor random, ReadOnlySpan<byte> entropy)
    {
        // struct rand_pool_info: int entropy_count in bits, int buf_size in bytes, then the bytes.
        var info = new byte[8 + entropy.Length];
        BinaryPrimitives.WriteInt32LittleEndian(info, entropy.Length * 8);
        BinaryPrimitives.WriteInt32LittleEndian(info.AsSpan(4), entropy.Length);
        entropy.CopyTo(info.AsSpan(8));
        // SAFETY: buf_size says how many bytes follow the header, and they do.
        fixed (byte* start = info)
        {
            Libc.Check(Libc.ioctl(random.Number, Libc.RNDADDENTROPY, start), "ioctl", "RNDADDENTROPY");
        }
        Libc.Check(Libc.ioctl(random.Number, Libc.RNDRESEEDCRNG, null), "ioctl", "RNDRESEEDCRNG");
    }

    /// <summary>Writes what the file systems hold back.</summary>
    public static void Sync() => Libc.sync();

    /// <summary>Ends the machine at once, without a sync. Returns only when the kernel refuses.</summary>
    /// <param name="restart">By a reset, which ends a virtual machine that was told not to reboot, in place of ACPI.</param>
    public static void PowerOff(bool restart = false) =>
        Libc.Check(Libc.reboot(restart ? Libc.RB_AUTOBOOT : Libc.RB_POWER_OFF), "reboot");
}
