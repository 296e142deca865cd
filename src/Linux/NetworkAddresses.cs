using System.Buffers.Binary;
using System.Net;

namespace KataLike.Linux;

/// <summary>An address of a network interface.</summary>
/// <param name="Link">The interface's index.</param>
/// <param name="Peer">The other end's, where the prefix is that one's; else null.</param>
/// <param name="Permanent">Neither its time nor a router's word ends it.</param>
public sealed record NetworkAddress(
    int Link, IPAddress Address, byte PrefixLength, byte Scope, IPAddress? Peer, IPAddress? Broadcast, bool Permanent = true);

/// <summary>Addresses by rtnetlink.</summary>
public static class NetworkAddresses
{
    // struct ifaddrmsg: family, prefix length, flags, scope, index of the interface (4).
    private const int Structure = 8;

    public static IReadOnlyList<NetworkAddress> List(Netlink netlink) =>
        netlink.Dump(() => new NetlinkMessage(Libc.RTM_GETADDR, 0, "addresses", new byte[Structure]), Parse);

    /// <summary>Adds an address that is valid at once, and no route to its network. One that is there already stays.</summary>
    public static void Add(Netlink netlink, NetworkAddress address) => netlink.Execute(
        Message(Libc.RTM_NEWADDR, Libc.NLM_F_CREATE | Libc.NLM_F_REPLACE, address).Add(Libc.IFA_FLAGS, Libc.IFA_F_NODAD | Libc.IFA_F_NOPREFIXROUTE));

    /// <summary>Removes an address; one that is not there is removed already, also with its interface.</summary>
    public static void Remove(Netlink netlink, NetworkAddress address)
    {
        var message = Message(Libc.RTM_DELADDR, 0, address);
        if (netlink.TryExecute(message) is var error and not (Errno.None or Errno.EADDRNOTAVAIL or Errno.ENODEV))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    internal static NetlinkMessage Message(ushort type, int flags, NetworkAddress address)
    {
        var own = address.Address.GetAddressBytes();
        Span<byte> body = [(byte)Family(own), address.PrefixLength, 0, address.Scope, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32LittleEndian(body[4..], address.Link);
        return new NetlinkMessage(type, flags, $"address {address.Address}/{address.PrefixLength}", body)
            .Add(Libc.IFA_LOCAL, own)
            .Add(Libc.IFA_ADDRESS, address.Peer?.GetAddressBytes() ?? own)
            .AddIf(address.Broadcast is not null, Libc.IFA_BROADCAST, address.Broadcast?.GetAddressBytes());
    }

    internal static NetworkAddress? Parse(NetlinkAnswer answer)
    {
        if (answer.Type != Libc.RTM_NEWADDR || answer.Body.Length < Structure)
            return null;
        var attributes = answer.After(Structure);
        var family = answer.Body[0];
        // IPv6 without a peer has no local one.
        var far = Address(family, attributes[Libc.IFA_ADDRESS]);
        var own = Address(family, attributes[Libc.IFA_LOCAL]) ?? far;
        return own is null ? null : new NetworkAddress(
            BinaryPrimitives.ReadInt32LittleEndian(answer.Body[4..]), own, answer.Body[1], answer.Body[3],
            far is null || far.Equals(own) ? null : far, Address(family, attributes[Libc.IFA_BROADCAST]),
            (attributes.Number(Libc.IFA_FLAGS, answer.Body[2]) & Libc.IFA_F_PERMANENT) != 0);
    }

    internal static int Family(ReadOnlySpan<byte> address) => address.Length == 4 ? Libc.AF_INET : Libc.AF_INET6;

    /// <summary>Null: no address of the family.</summary>
    internal static IPAddress? Address(int family, ReadOnlySpan<byte> bytes) => (family, bytes.Length) switch
    {
        (Libc.AF_INET, 4) or (Libc.AF_INET6, 16) => new IPAddress(bytes),
        _ => null,
    };
}

internal static unsafe partial class Libc
{
    internal const ushort RTM_NEWADDR = 20, RTM_DELADDR = 21, RTM_GETADDR = 22;
    internal const int IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_BROADCAST = 4, IFA_FLAGS = 8;
    internal const uint IFA_F_NODAD = 2, IFA_F_PERMANENT = 0x80, IFA_F_NOPREFIXROUTE = 0x200;
}
