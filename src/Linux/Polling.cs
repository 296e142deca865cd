using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>What poll and epoll report (EPOLLIN equals POLLIN, and so on).</summary>
[Flags]
public enum PollEvents : uint
{
    None = 0,
    Readable = Libc.EPOLLIN,
    Writable = Libc.EPOLLOUT,
    Error = Libc.EPOLLERR,
    HangUp = Libc.EPOLLHUP,
    PeerHangUp = Libc.EPOLLRDHUP,
    EdgeTriggered = Libc.EPOLLET,
}

/// <summary>One thing to wait for, or that has happened: the key that the descriptor was added with.</summary>
public readonly record struct PollEvent(PollEvents Events, ulong Key);

/// <summary>An epoll instance, for one waiting thread.</summary>
public sealed unsafe class Epoll : IDisposable
{
    private const int MaxEvents = 64;

    // struct epoll_event is packed on x86-64 only.
    private static readonly int KeyOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;
    private static readonly int EventSize = KeyOffset + 8;

    private readonly FileDescriptor descriptor = new(Libc.Check(Libc.epoll_create1(Libc.EPOLL_CLOEXEC), "epoll_create1"));
    private readonly byte[] raw = new byte[MaxEvents * EventSize];
    private readonly PollEvent[] events = new PollEvent[MaxEvents];

    /// <summary>Adds a descriptor. False for files that are always ready (EPERM).</summary>
    public bool Add(FileDescriptor target, PollEvents wanted, ulong key)
    {
        Span<byte> value = stackalloc byte[16];
        BinaryPrimitives.WriteUInt32LittleEndian(value, (uint)wanted);
        BinaryPrimitives.WriteUInt64LittleEndian(value[KeyOffset..], key);
        fixed (byte* pointer = value)
            if (Libc.epoll_ctl(descriptor.Number, Libc.EPOLL_CTL_ADD, target.Number, pointer) == 0)
                return true;
        return Libc.LastError == Errno.EPERM ? false : throw new LinuxException(Libc.LastError, "epoll_ctl", "add");
    }

    /// <summary>Removes a descriptor: needed where another descriptor keeps the same open file alive.</summary>
    public void Remove(FileDescriptor target) =>
        Libc.epoll_ctl(descriptor.Number, Libc.EPOLL_CTL_DEL, target.Number, null);

    /// <summary>Waits for events; valid until the next call. A timeout in ms, -1 for none.</summary>
    public ReadOnlySpan<PollEvent> Wait(int timeout = -1)
    {
        int count;
        fixed (byte* pointer = raw)
            do count = Libc.epoll_wait(descriptor.Number, pointer, MaxEvents, timeout);
            while (count < 0 && Libc.LastError == Errno.EINTR);
        Libc.Check(count, "epoll_wait");
        for (var i = 0; i < count; i++)
        {
            var value = raw.AsSpan(i * EventSize);
            events[i] = new PollEvent(
                (PollEvents)BinaryPrimitives.ReadUInt32LittleEndian(value),
                BinaryPrimitives.ReadUInt64LittleEndian(value[KeyOffset..]));
        }

        return events.AsSpan(0, count);
    }

    public void Dispose() => descriptor.Dispose();
}

/// <summary>Event counters and waits on a few descriptors.</summary>
public static unsafe class Polling
{
    /// <summary>A non-blocking eventfd.</summary>
    public static FileDescriptor CreateEvent() =>
        new(Libc.Check(Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK), "eventfd"));

    public static void Signal(FileDescriptor counter) => Files.TryWrite(counter, BitConverter.GetBytes(1UL));

    public static void Clear(FileDescriptor counter) => Files.TryRead(counter, stackalloc byte[8]);

    /// <summary>
    /// Waits until one of the two descriptors has an event, or the timeout in ms (-1: none) is over; says what each has.
    /// </summary>
    public static (PollEvents First, PollEvents Second) WaitAny(
        FileDescriptor first, PollEvents wanted, FileDescriptor second, PollEvents alsoWanted, int timeout = -1)
    {
        var entries = stackalloc Libc.PollEntry[2];
        entries[0] = new Libc.PollEntry { fd = first.Number, events = (short)wanted };
        entries[1] = new Libc.PollEntry { fd = second.Number, events = (short)alsoWanted };
        int result;
        do result = Libc.poll(entries, 2, timeout);
        while (result < 0 && Libc.LastError == Errno.EINTR);
        Libc.Check(result, "poll");
        return ((PollEvents)(ushort)entries[0].revents, (PollEvents)(ushort)entries[1].revents);
    }
}

internal static unsafe partial class Libc
{
    internal const int EPOLL_CLOEXEC = 0x80000, EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2;
    internal const uint EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 0x10, EPOLLRDHUP = 0x2000;
    internal const uint EPOLLET = 0x80000000;
    internal const int EFD_CLOEXEC = 0x80000, EFD_NONBLOCK = 0x800;

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct PollEntry
    {
        internal int fd;
        internal short events;
        internal short revents;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int epoll_ctl(int epoll, int operation, int fd, byte* value);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int epoll_wait(int epoll, byte* events, int max, int timeout);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int poll(PollEntry* entries, nuint count, int timeout);
}
