using System.Buffers.Binary;
using System.Net;

namespace KataLike.Linux;

/// <summary>A hardware address that somebody has set by hand.</summary>
/// <param name="Link">The interface's index.</param>
public sealed record NetworkNeighbor(int Link, IPAddress Address, byte[] HardwareAddress);

/// <summary>Neighbours by rtnetlink.</summary>
public static class NetworkNeighbors
{
    // struct ndmsg: family, padding (3), index of the interface (4), state (2), flags, type.
    private const int Structure = 12;

    /// <summary>The permanent ones: what the kernel has learnt it will learn again.</summary>
    public static IReadOnlyList<NetworkNeighbor> List(Netlink netlink) =>
        netlink.Dump(() => new NetlinkMessage(Libc.RTM_GETNEIGH, 0, "neighbours", new byte[Structure]), Parse);

    public static void Add(Netlink netlink, NetworkNeighbor neighbor) => netlink.Execute(
        Message(Libc.RTM_NEWNEIGH, Libc.NLM_F_CREATE | Libc.NLM_F_REPLACE, neighbor).Add(Libc.NDA_LLADDR, neighbor.HardwareAddress));

    /// <summary>Removes a neighbour; one that is not there is removed already, also with its interface.</summary>
    public static void Remove(Netlink netlink, NetworkNeighbor neighbor)
    {
        var message = Message(Libc.RTM_DELNEIGH, 0, neighbor);
        if (netlink.TryExecute(message) is var error and not (Errno.None or Errno.ENOENT or Errno.ENODEV))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    internal static NetlinkMessage Message(ushort type, int flags, NetworkNeighbor neighbor)
    {
        var address = neighbor.Address.GetAddressBytes();
        Span<byte> body = stackalloc byte[Structure];
        body.Clear();
        body[0] = (byte)NetworkAddresses.Family(address);
        BinaryPrimitives.WriteInt32LittleEndian(body[4..], neighbor.Link);
        BinaryPrimitives.WriteUInt16LittleEndian(body[8..], Libc.NUD_PERMANENT);
        return new NetlinkMessage(type, flags, $"neighbour {neighbor.Address}", body).Add(Libc.NDA_DST, address);
    }

    internal static NetworkNeighbor? Parse(NetlinkAnswer answer)
    {
        if (answer.Type != Libc.RTM_NEWNEIGH || answer.Body.Length < Structure
            || (BinaryPrimitives.ReadUInt16LittleEndian(answer.Body[8..]) & Libc.NUD_PERMANENT) == 0)
            return null;
        var attributes = answer.After(Structure);
        return NetworkAddresses.Address(answer.Body[0], attributes[Libc.NDA_DST]) is { } address && attributes[Libc.NDA_LLADDR] is { Length: > 0 } hardware
            ? new NetworkNeighbor(BinaryPrimitives.ReadInt32LittleEndian(answer.Body[4..]), address, hardware.ToArray()) : null;
    }
}

internal static unsafe partial class Libc
{
    internal const ushort RTM_NEWNEIGH = 28, RTM_DELNEIGH = 29, RTM_GETNEIGH = 30, NUD_PERMANENT = 0x80;
    internal const int NDA_DST = 1, NDA_LLADDR = 2;
}
