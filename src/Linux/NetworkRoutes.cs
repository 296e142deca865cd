using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>Where a route leads.</summary>
/// <param name="Link">The interface's index; 0: none.</param>
/// <param name="Gateway">Of either family; null: the destination is on the link.</param>
/// <param name="OnLink">The gateway is taken to be on the link, whatever the addresses say.</param>
public sealed record NetworkHop(int Link, IPAddress? Gateway, bool OnLink, byte Weight = 0);

/// <summary>A route (rtnetlink(7), struct rtmsg).</summary>
/// <param name="Destination">The network's first address; its family is the route's.</param>
/// <param name="Type">RTN_*.</param>
/// <param name="Source">What packets without an address are sent from.</param>
/// <param name="Metrics">Attributes of RTA_METRICS, as they are.</param>
public sealed record NetworkRoute(
    IPAddress Destination, byte PrefixLength, uint Table, byte Protocol, byte Scope, byte Type, uint Priority,
    IPAddress? Source, byte[] Metrics, IReadOnlyList<NetworkHop> Hops);

/// <summary>Routes by rtnetlink.</summary>
public static class NetworkRoutes
{
    // struct rtmsg: family, lengths of destination and source, type of service, table, protocol, scope, type, flags (4).
    private const int Structure = 12;

    // struct rtnexthop: length (2), flags, hops, index of the interface (4).
    private const int HopStructure = 8;

    /// <summary>All but those of the table "local", which come with addresses, and those that a router's word makes.</summary>
    public static IReadOnlyList<NetworkRoute> List(Netlink netlink) =>
        netlink.Dump(() => new NetlinkMessage(Libc.RTM_GETROUTE, 0, "routes", new byte[Structure]), Parse);

    /// <summary>Adds a route; one that is there already stays. A kernel that knows no routes of several hops takes the first.</summary>
    public static void Add(Netlink netlink, NetworkRoute route)
    {
        var message = Message(Libc.RTM_NEWROUTE, Libc.NLM_F_CREATE | Libc.NLM_F_APPEND, route);
        var error = netlink.TryExecute(message);
        if (error == Errno.EINVAL && route.Hops.Count > 1)
            Add(netlink, route with { Hops = [route.Hops[0]] });
        else if (error is not (Errno.None or Errno.EEXIST))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    /// <summary>Removes a route; one that is not there is removed already, also with its interface.</summary>
    public static void Remove(Netlink netlink, NetworkRoute route)
    {
        var message = Message(Libc.RTM_DELROUTE, 0, route);
        var error = netlink.TryExecute(message);
        if (error == Errno.EINVAL && route.Hops.Count > 1)
            Remove(netlink, route with { Hops = [route.Hops[0]] });
        else if (error is not (Errno.None or Errno.ESRCH or Errno.ENODEV))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    internal static NetlinkMessage Message(ushort type, int flags, NetworkRoute route)
    {
        var destination = route.Destination.GetAddressBytes();
        Span<byte> body =
        [
            (byte)NetworkAddresses.Family(destination), route.PrefixLength, 0, 0, route.Table < 256 ? (byte)route.Table : (byte)0,
            route.Protocol, route.Scope, route.Type, 0, 0, 0, 0,
        ];
        if (route.Hops is [{ OnLink: true }])
            BinaryPrimitives.WriteUInt32LittleEndian(body[8..], Libc.RTNH_F_ONLINK);
        var operand = $"route {(route.PrefixLength == 0 ? "default" : $"{route.Destination}/{route.PrefixLength}")}";
        var message = new NetlinkMessage(type, flags, operand, body)
            .Add(Libc.RTA_TABLE, route.Table)
            .AddIf(route.PrefixLength > 0, Libc.RTA_DST, destination)
            .AddIf(route.Source is not null, Libc.RTA_PREFSRC, route.Source?.GetAddressBytes())
            .AddIf(route.Metrics.Length > 0, Libc.RTA_METRICS, route.Metrics);
        if (route.Priority > 0)
            message.Add(Libc.RTA_PRIORITY, route.Priority);
        if (route.Hops is [var only])
            AddHop(message, only, destination.Length);
        else if (route.Hops.Count > 1)
            message.Add(Libc.RTA_MULTIPATH, Hops(route.Hops, destination.Length));
        return message;
    }

    private static void AddHop(NetlinkMessage message, NetworkHop hop, int size)
    {
        if (hop.Link > 0)
            message.Add(Libc.RTA_OIF, (uint)hop.Link);
        if (hop.Gateway?.GetAddressBytes() is { } gateway)
        {
            // struct rtvia: the family, and an address of it.
            if (gateway.Length == size)
                message.Add(Libc.RTA_GATEWAY, gateway);
            else
                message.Add(Libc.RTA_VIA, [(byte)NetworkAddresses.Family(gateway), 0, .. gateway]);
        }
    }

    private static byte[] Hops(IReadOnlyList<NetworkHop> hops, int size)
    {
        var all = new MemoryStream();
        Span<byte> head = stackalloc byte[HopStructure];
        foreach (var hop in hops)
        {
            // The attributes of a hop are those of a message without one.
            var attributes = new NetlinkMessage(0, 0, "", []);
            AddHop(attributes, hop with { Link = 0 }, size);
            var value = attributes.Finish(0)[Libc.NLMSG_HEADER..];
            head.Clear();
            BinaryPrimitives.WriteUInt16LittleEndian(head, (ushort)(HopStructure + value.Length));
            head[2] = hop.OnLink ? (byte)Libc.RTNH_F_ONLINK : (byte)0;
            head[3] = hop.Weight;
            BinaryPrimitives.WriteInt32LittleEndian(head[4..], hop.Link);
            all.Write(head);
            all.Write(value);
        }
        return all.ToArray();
    }

    internal static NetworkRoute? Parse(NetlinkAnswer answer)
    {
        if (answer.Type != Libc.RTM_NEWROUTE || answer.Body.Length < Structure)
            return null;
        var body = answer.Body;
        var attributes = answer.After(Structure);
        var family = body[0];
        var (table, protocol, flags) = (attributes.Number(Libc.RTA_TABLE, body[4]), body[5], MemoryMarshal.Read<uint>(body[8..]));
        if (table == Libc.RT_TABLE_LOCAL || protocol is Libc.RTPROT_REDIRECT or Libc.RTPROT_RA || (flags & Libc.RTM_F_CLONED) != 0
            || family is not (Libc.AF_INET or Libc.AF_INET6))
            return null;
        var any = family == Libc.AF_INET ? IPAddress.Any : IPAddress.IPv6Any;
        return new NetworkRoute(
            NetworkAddresses.Address(family, attributes[Libc.RTA_DST]) ?? any, body[1], table, protocol, body[6], body[7],
            attributes.Number(Libc.RTA_PRIORITY), NetworkAddresses.Address(family, attributes[Libc.RTA_PREFSRC]),
            attributes[Libc.RTA_METRICS].ToArray(),
            attributes[Libc.RTA_MULTIPATH] is { Length: > 0 } several ? ParseHops(family, several)
                : [Hop(family, (int)attributes.Number(Libc.RTA_OIF), (flags & Libc.RTNH_F_ONLINK) != 0, 0, attributes)]);
    }

    private static List<NetworkHop> ParseHops(byte family, ReadOnlySpan<byte> bytes)
    {
        var hops = new List<NetworkHop>();
        while (bytes.Length >= HopStructure)
        {
            var length = BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            if (length < HopStructure || length > bytes.Length)
                break;
            hops.Add(Hop(family, BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]), (bytes[2] & Libc.RTNH_F_ONLINK) != 0, bytes[3], new(bytes[HopStructure..length])));
            bytes = bytes[Math.Min(bytes.Length, (length + 3) & ~3)..];
        }
        return hops;
    }

    private static NetworkHop Hop(byte family, int link, bool onLink, byte weight, NetlinkAttributes attributes)
    {
        var via = attributes[Libc.RTA_VIA, 3];
        var gateway = NetworkAddresses.Address(family, attributes[Libc.RTA_GATEWAY])
            ?? (via.Length > 2 ? NetworkAddresses.Address(via[0], via[2..]) : null);
        return new NetworkHop(link, gateway, onLink, weight);
    }
}

internal static unsafe partial class Libc
{
    internal const ushort RTM_NEWROUTE = 24, RTM_DELROUTE = 25, RTM_GETROUTE = 26;
    internal const int RTA_DST = 1, RTA_OIF = 4, RTA_GATEWAY = 5, RTA_PRIORITY = 6, RTA_PREFSRC = 7, RTA_METRICS = 8, RTA_MULTIPATH = 9;
    internal const int RTA_TABLE = 15, RTA_VIA = 18;
    internal const byte RTPROT_REDIRECT = 1, RTPROT_RA = 9;
    internal const uint RT_TABLE_LOCAL = 255, RTNH_F_ONLINK = 4, RTM_F_CLONED = 0x200;
}
