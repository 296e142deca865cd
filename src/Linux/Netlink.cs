using System.Buffers.Binary;

namespace KataLike.Linux;

/// <summary>What to be told of (rtnetlink(7)).</summary>
[Flags]
public enum NetlinkGroups : uint
{
    None = 0,
    Links = Libc.RTMGRP_LINK,
    Neighbors = Libc.RTMGRP_NEIGH,
    Addresses = Libc.RTMGRP_IPV4_IFADDR | Libc.RTMGRP_IPV6_IFADDR,
    Routes = Libc.RTMGRP_IPV4_ROUTE | Libc.RTMGRP_IPV6_ROUTE,
    Rules = Libc.RTMGRP_IPV4_RULE | Libc.RTMGRP_IPV6_RULE,
}

/// <summary>
/// A connection to the network configuration of one namespace: that in which it was opened, whatever thread uses it later.
/// One request at a time.
/// </summary>
public sealed unsafe class Netlink : IDisposable
{
    /// <summary>The kernel sends no longer datagrams to a receiver that has shown that it can take so much.</summary>
    private const int DatagramSize = 64 * 1024;

    private const int MaxDumpAttempts = 10;

    // The second group is udev's.
    private const uint EventsOfKernel = 1;

    private readonly byte[] _buffer = new byte[DatagramSize];
    private uint _sequence;

    private Netlink(FileDescriptor socket) => Socket = socket;

    /// <summary>Readable when something of the groups has changed.</summary>
    public FileDescriptor Socket { get; }

    /// <summary>Opens one in the calling thread's network namespace.</summary>
    public static Netlink Open(NetlinkGroups groups = NetlinkGroups.None) => new(Bind(Libc.NETLINK_ROUTE, (uint)groups));

    /// <summary>A socket that is readable when a device of any kind has come, changed or gone.</summary>
    public static FileDescriptor OpenDeviceEvents() => Bind(Libc.NETLINK_KOBJECT_UEVENT, EventsOfKernel);

    private static FileDescriptor Bind(int protocol, uint groups)
    {
        var socket = new FileDescriptor(
            Libc.Check(Libc.socket(Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC, protocol), "socket", "AF_NETLINK"));
        // struct sockaddr_nl: family, padding, port (the kernel chooses), groups.
        Span<byte> address = stackalloc byte[12];
        address.Clear();
        BinaryPrimitives.WriteUInt16LittleEndian(address, Libc.AF_NETLINK);
        BinaryPrimitives.WriteUInt32LittleEndian(address[8..], groups);
        fixed (byte* pointer = address)
        {
            if (Libc.bind(socket.Number, pointer, (uint)address.Length) < 0)
            {
                var error = new LinuxException(Libc.LastError, "bind", "AF_NETLINK");
                socket.Dispose();
                throw error;
            }
        }
        return socket;
    }

    /// <summary>Asks the kernel to do something.</summary>
    /// <exception cref="LinuxException">The kernel refused; the operand is the message's.</exception>
    public void Execute(NetlinkMessage message)
    {
        if (TryExecute(message) is var error and not Errno.None)
            throw new LinuxException(error, "netlink", message.Operand);
    }

    /// <summary>Asks the kernel to do something, and says what it refused with.</summary>
    public Errno TryExecute(NetlinkMessage message)
    {
        message.AddFlags(Libc.NLM_F_ACK);
        Send(message);
        while (true)
        {
            ReadOnlySpan<byte> datagram = _buffer.AsSpan(0, Files.Read(Socket, _buffer));
            while (NetlinkAnswer.TryRead(ref datagram, out var answer))
                if (answer.Sequence == _sequence && answer.Type == Libc.NLMSG_ERROR && answer.Body.Length >= sizeof(int))
                    return (Errno)(-BinaryPrimitives.ReadInt32LittleEndian(answer.Body));
        }
    }

    internal delegate T? Parser<out T>(NetlinkAnswer answer);

    /// <summary>Asks for a table.</summary>
    /// <param name="parse">Makes an entry of an answer; null: it is none.</param>
    internal IReadOnlyList<T> Dump<T>(Func<NetlinkMessage> request, Parser<T> parse)
        where T : class
    {
        for (var attempt = 1; ; attempt++)
            if (TryDump(request(), parse, out var entries) || attempt == MaxDumpAttempts)
                return entries;
    }

    /// <returns>False: the table changed meanwhile.</returns>
    private bool TryDump<T>(NetlinkMessage message, Parser<T> parse, out List<T> entries)
        where T : class
    {
        message.AddFlags(Libc.NLM_F_DUMP);
        Send(message);
        entries = [];
        for (var whole = true; ;)
        {
            ReadOnlySpan<byte> datagram = _buffer.AsSpan(0, Files.Read(Socket, _buffer));
            while (NetlinkAnswer.TryRead(ref datagram, out var answer))
            {
                if (answer.Sequence != _sequence)
                    continue;
                whole &= (answer.Flags & Libc.NLM_F_DUMP_INTR) == 0;
                if (answer.Type == Libc.NLMSG_DONE)
                    return whole;
                if (answer.Type == Libc.NLMSG_ERROR)
                    throw new LinuxException((Errno)(answer.Body.Length >= sizeof(int) ? -BinaryPrimitives.ReadInt32LittleEndian(answer.Body) : 0), "netlink", message.Operand);
                if (parse(answer) is { } entry)
                    entries.Add(entry);
            }
        }
    }

    public void Dispose() => Socket.Dispose();

    private void Send(NetlinkMessage message)
    {
        var bytes = message.Finish(++_sequence);
        if (Files.Write(Socket, bytes) != bytes.Length)
            throw new LinuxException(Errno.EMSGSIZE, "netlink", message.Operand);
    }
}

internal static unsafe partial class Libc
{
    internal const int AF_NETLINK = 16, SOCK_RAW = 3, NETLINK_ROUTE = 0, NETLINK_KOBJECT_UEVENT = 15;
    internal const uint RTMGRP_LINK = 1, RTMGRP_NEIGH = 4, RTMGRP_IPV4_IFADDR = 0x10, RTMGRP_IPV6_IFADDR = 0x100;
    internal const uint RTMGRP_IPV4_ROUTE = 0x40, RTMGRP_IPV6_ROUTE = 0x400, RTMGRP_IPV4_RULE = 0x80;

    // 1 << (RTNLGRP_IPV6_RULE - 1): the headers have no name for it.
    internal const uint RTMGRP_IPV6_RULE = 0x40000;
}
