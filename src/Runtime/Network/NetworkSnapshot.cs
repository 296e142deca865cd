using System.Net;
using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Linux;
using NetworkAddress = KataLike.Linux.NetworkAddress;
using NetworkNeighbor = KataLike.Linux.NetworkNeighbor;
using NetworkRoute = KataLike.Linux.NetworkRoute;
using NetworkRule = KataLike.Linux.NetworkRule;

namespace KataLike.Runtime.Network;

/// <summary>What the host's kernel knows of a network namespace.</summary>
internal sealed record NetworkSnapshot(
    IReadOnlyList<NetworkLink> Links, IReadOnlyList<NetworkAddress> Addresses, IReadOnlyList<NetworkRoute> Routes,
    IReadOnlyList<NetworkNeighbor> Neighbors, IReadOnlyList<NetworkRule> Rules)
{
    // Modules of the kernel put one of each into every namespace, where nobody uses it.
    private static readonly string[] FallbackKinds = ["gretap", "erspan"];

    public static NetworkSnapshot Take(Netlink netlink) => new(
        NetworkLinks.List(netlink), NetworkAddresses.List(netlink), NetworkRoutes.List(netlink), NetworkNeighbors.List(netlink),
        NetworkRules.List(netlink));

    /// <summary>The interfaces that the guest is to have: all that carry Ethernet frames from elsewhere.</summary>
    /// <param name="taps">Ours.</param>
    /// <param name="has">Whether the guest has it already.</param>
    public IReadOnlyList<NetworkLink> Interfaces(IReadOnlyList<int> taps, Func<int, bool> has) => [.. Links.Where(link =>
        link.IsEthernet && !link.IsLoopback && !taps.Contains(link.Index)
        // What is made of another one here gets nothing once that one is redirected.
        && link.Master == 0 && Links.All(other => other.Index != link.Parent)
        && (link.IsUp || has(link.Index) || !FallbackKinds.Contains(link.Kind)))];

    /// <summary>As the agent is told.</summary>
    /// <param name="ids">The number of each interface that the guest has, by index.</param>
    public SetNetworkRequest Describe(IReadOnlyDictionary<int, uint> ids)
    {
        var known = new Dictionary<int, uint>(ids);
        foreach (var loopback in Links.Where(link => link.IsLoopback && link.IsUp))
            known[loopback.Index] = NetworkDevices.Loopback;
        var request = new SetNetworkRequest();
        request.Interfaces.Add(Links.Where(link => known.ContainsKey(link.Index)).Select(link => Describe(link, known[link.Index])));
        request.Routes.Add(Routes.Where(route => route.Hops.All(hop => hop.Link == 0 || known.ContainsKey(hop.Link))).Select(route => Describe(route, known)));
        request.Neighbors.Add(Neighbors.Where(neighbor => ids.ContainsKey(neighbor.Link)).Select(neighbor => new Contract.Agent.NetworkNeighbor
        {
            Interface = ids[neighbor.Link],
            Address = Bytes(neighbor.Address),
            HardwareAddress = ByteString.CopyFrom(neighbor.HardwareAddress),
        }));
        request.Rules.Add(Rules.Select(rule => new Contract.Agent.NetworkRule { Body = ByteString.CopyFrom(rule.Body) }));
        return request;
    }

    private NetworkInterface Describe(NetworkLink link, uint id) => new()
    {
        Id = id,
        Name = link.Name,
        Mtu = link.Mtu,
        HardwareAddress = ByteString.CopyFrom(link.HardwareAddress),
        Up = link.IsUp,
        NoArp = link.HasNoArp,
        // What a router has announced the guest will hear for itself, and those of loopback come with it.
        Addresses =
        {
            Addresses.Where(address => address.Link == link.Index && address.Permanent && !IPAddress.IsLoopback(address.Address)).Select(address => new Contract.Agent.NetworkAddress
            {
                Address = Bytes(address.Address),
                PrefixLength = address.PrefixLength,
                Scope = address.Scope,
                Peer = Bytes(address.Peer),
                Broadcast = Bytes(address.Broadcast),
            }),
        },
    };

    private static Contract.Agent.NetworkRoute Describe(NetworkRoute route, Dictionary<int, uint> known) => new()
    {
        Destination = Bytes(route.Destination),
        PrefixLength = route.PrefixLength,
        Table = route.Table,
        Protocol = route.Protocol,
        Scope = route.Scope,
        Type = route.Type,
        Priority = route.Priority,
        Source = Bytes(route.Source),
        Metrics = ByteString.CopyFrom(route.Metrics),
        Hops =
        {
            route.Hops.Select(hop => new Contract.Agent.NetworkHop
            {
                Interface = hop.Link == 0 ? 0 : known[hop.Link],
                Gateway = Bytes(hop.Gateway),
                OnLink = hop.OnLink,
                Weight = hop.Weight,
            }),
        },
    };

    private static ByteString Bytes(IPAddress? address) => address is null ? ByteString.Empty : ByteString.CopyFrom(address.GetAddressBytes());
}
