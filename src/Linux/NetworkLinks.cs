using System.Buffers.Binary;

namespace KataLike.Linux;

/// <summary>A network interface.</summary>
/// <param name="HardwareType">ARPHRD_*.</param>
/// <param name="Flags">IFF_*.</param>
/// <param name="Parent">The index of the interface that it is a part of, in the same namespace; 0: none.</param>
/// <param name="Master">The index of the bridge or bond that it belongs to; 0: none.</param>
/// <param name="Kind">"veth", "macvlan" and so on; empty for real devices and loopback.</param>
public sealed record NetworkLink(
    int Index, string Name, ushort HardwareType, uint Flags, uint Mtu, byte[] HardwareAddress, int Parent, int Master, string Kind)
{
    public bool IsUp => (Flags & Libc.IFF_UP) != 0;

    public bool IsLoopback => (Flags & Libc.IFF_LOOPBACK) != 0;

    public bool IsEthernet => HardwareType == Libc.ARPHRD_ETHER;

    /// <summary>It does not ask for hardware addresses (ipvlan's L3 modes).</summary>
    public bool HasNoArp => (Flags & Libc.IFF_NOARP) != 0;
}

/// <summary>What to change of an interface; null: nothing.</summary>
public sealed record NetworkLinkChange
{
    public string? Name { get; init; }

    public uint? Mtu { get; init; }

    public byte[]? HardwareAddress { get; init; }

    public bool? Up { get; init; }

    public bool? NoArp { get; init; }

    /// <summary>The kernel is to make no link-local IPv6 address by itself.</summary>
    public bool WithoutOwnAddresses { get; init; }

    /// <summary>The interface moves there.</summary>
    public FileDescriptor? Namespace { get; init; }
}

/// <summary>Interfaces by rtnetlink.</summary>
public static class NetworkLinks
{
    // struct ifinfomsg: family, padding, type (2), index (4), flags (4), which flags to change (4).
    private const int Structure = 16;

    public static IReadOnlyList<NetworkLink> List(Netlink netlink) =>
        netlink.Dump(() => new NetlinkMessage(Libc.RTM_GETLINK, 0, "interfaces", new byte[Structure]), Parse);

    public static void Change(Netlink netlink, NetworkLink link, NetworkLinkChange change) => netlink.Execute(Message(link, change));

    internal static NetlinkMessage Message(NetworkLink link, NetworkLinkChange change)
    {
        Span<byte> body = stackalloc byte[Structure];
        body.Clear();
        BinaryPrimitives.WriteInt32LittleEndian(body[4..], link.Index);
        var (flags, mask) = ((uint)0, (uint)0);
        foreach (var (wanted, flag) in new[] { (change.Up, (uint)Libc.IFF_UP), (change.NoArp, Libc.IFF_NOARP) })
            (flags, mask) = (flags | (wanted == true ? flag : 0), mask | (wanted is null ? 0 : flag));
        BinaryPrimitives.WriteUInt32LittleEndian(body[8..], flags);
        BinaryPrimitives.WriteUInt32LittleEndian(body[12..], mask);
        var message = new NetlinkMessage(Libc.RTM_SETLINK, 0, change.Name ?? link.Name, body);
        if (change.Namespace is { } space)
            message.Add(Libc.IFLA_NET_NS_FD, (uint)space.Number);
        if (change.Name is { } name)
            message.Add(Libc.IFLA_IFNAME, name);
        if (change.HardwareAddress is { } address)
            message.Add(Libc.IFLA_ADDRESS, address);
        if (change.Mtu is { } mtu)
            message.Add(Libc.IFLA_MTU, mtu);
        if (change.WithoutOwnAddresses)
            message.Nest(Libc.IFLA_AF_SPEC, all => all.Nest(
                Libc.AF_INET6, own => own.Add(Libc.IFLA_INET6_ADDR_GEN_MODE, [Libc.IN6_ADDR_GEN_MODE_NONE])));
        return message;
    }

    internal static NetworkLink? Parse(NetlinkAnswer answer)
    {
        if (answer.Type != Libc.RTM_NEWLINK || answer.Body.Length < Structure)
            return null;
        var attributes = answer.After(Structure);
        return new NetworkLink(
            BinaryPrimitives.ReadInt32LittleEndian(answer.Body[4..]),
            attributes.Text(Libc.IFLA_IFNAME),
            BinaryPrimitives.ReadUInt16LittleEndian(answer.Body[2..]),
            BinaryPrimitives.ReadUInt32LittleEndian(answer.Body[8..]),
            attributes.Number(Libc.IFLA_MTU),
            attributes[Libc.IFLA_ADDRESS].ToArray(),
            // Of another namespace's interface the index means nothing here.
            attributes[Libc.IFLA_LINK_NETNSID].IsEmpty ? (int)attributes.Number(Libc.IFLA_LINK) : 0,
            (int)attributes.Number(Libc.IFLA_MASTER),
            attributes.Within(Libc.IFLA_LINKINFO).Text(Libc.IFLA_INFO_KIND));
    }
}

internal static unsafe partial class Libc
{
    internal const ushort RTM_NEWLINK = 16, RTM_DELLINK = 17, RTM_GETLINK = 18, RTM_SETLINK = 19;
    internal const uint IFF_LOOPBACK = 8, IFF_NOARP = 0x80;
    internal const ushort ARPHRD_ETHER = 1;
    internal const int AF_INET6 = 10;
    internal const int IFLA_ADDRESS = 1, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_LINK = 5, IFLA_MASTER = 10, IFLA_LINKINFO = 18, IFLA_INFO_KIND = 1;
    internal const int IFLA_AF_SPEC = 26, IFLA_NET_NS_FD = 28, IFLA_LINK_NETNSID = 37, IFLA_INET6_ADDR_GEN_MODE = 8;
    internal const byte IN6_ADDR_GEN_MODE_NONE = 1;
}
