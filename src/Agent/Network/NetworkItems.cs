using System.Net;
using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Linux;
using NetworkAddress = KataLike.Contract.Agent.NetworkAddress;
using NetworkHop = KataLike.Contract.Agent.NetworkHop;
using NetworkNeighbor = KataLike.Contract.Agent.NetworkNeighbor;
using NetworkRoute = KataLike.Contract.Agent.NetworkRoute;
using NetworkRule = KataLike.Contract.Agent.NetworkRule;

namespace KataLike.Agent.Network;

/// <summary>What the host says of the network, as sets to compare; and as the kernel wants to hear it.</summary>
internal sealed class NetworkItems
{
    public HashSet<(uint Id, NetworkAddress Address)> Addresses { get; private init; } = [];

    public HashSet<NetworkRoute> Routes { get; private init; } = [];

    public HashSet<NetworkNeighbor> Neighbors { get; private init; } = [];

    public HashSet<NetworkRule> Rules { get; private init; } = [];

    public HashSet<NetworkSysctl> Sysctls { get; private init; } = [];

    /// <summary>All interfaces that something is said of.</summary>
    public IEnumerable<uint> Links => Addresses.Select(item => item.Id)
        .Concat(Routes.SelectMany(route => route.Hops).Select(hop => hop.Interface).Where(id => id != 0))
        .Concat(Neighbors.Select(neighbor => neighbor.Interface));

    public static NetworkItems Of(SetNetworkRequest request) => new()
    {
        Addresses = [.. request.Interfaces.SelectMany(item => item.Addresses.Select(address => (item.Id, address)))],
        Routes = [.. request.Routes],
        Neighbors = [.. request.Neighbors],
        Rules = [.. request.Rules],
        Sysctls = [.. request.Sysctls],
    };

    public void Include(NetworkItems more)
    {
        Addresses.UnionWith(more.Addresses);
        Routes.UnionWith(more.Routes);
        Neighbors.UnionWith(more.Neighbors);
        Rules.UnionWith(more.Rules);
    }

    public void Intersect(NetworkItems others)
    {
        Addresses.IntersectWith(others.Addresses);
        Routes.IntersectWith(others.Routes);
        Neighbors.IntersectWith(others.Neighbors);
        Rules.IntersectWith(others.Rules);
    }

    /// <summary>What is on an interface is not there any more, or never was.</summary>
    public void Forget(uint id)
    {
        Addresses.RemoveWhere(item => item.Id == id);
        Routes.RemoveWhere(route => route.Hops.Any(hop => hop.Interface == id));
        Neighbors.RemoveWhere(neighbor => neighbor.Interface == id);
    }

    public static KataLike.Linux.NetworkAddress ToLinux(uint id, NetworkAddress address, IReadOnlyDictionary<uint, NetworkLink> links) => new(
        Index(id, links), Address(address.Address)!, (byte)address.PrefixLength, (byte)address.Scope, Address(address.Peer), Address(address.Broadcast));

    public static KataLike.Linux.NetworkRoute ToLinux(NetworkRoute route, IReadOnlyDictionary<uint, NetworkLink> links) => new(
        Address(route.Destination)!, (byte)route.PrefixLength, route.Table, (byte)route.Protocol, (byte)route.Scope, (byte)route.Type,
        route.Priority, Address(route.Source), route.Metrics.ToByteArray(), [.. route.Hops.Select(hop => ToLinux(hop, links))]);

    public static KataLike.Linux.NetworkNeighbor ToLinux(NetworkNeighbor neighbor, IReadOnlyDictionary<uint, NetworkLink> links) =>
        new(Index(neighbor.Interface, links), Address(neighbor.Address)!, neighbor.HardwareAddress.ToByteArray());

    public static KataLike.Linux.NetworkRule ToLinux(NetworkRule rule) => new(rule.Body.ToByteArray());

    private static KataLike.Linux.NetworkHop ToLinux(NetworkHop hop, IReadOnlyDictionary<uint, NetworkLink> links) =>
        new(hop.Interface == 0 ? 0 : Index(hop.Interface, links), Address(hop.Gateway), hop.OnLink, (byte)hop.Weight);

    private static int Index(uint id, IReadOnlyDictionary<uint, NetworkLink> links) =>
        links.TryGetValue(id, out var link) ? link.Index : throw new LinuxException(Errno.ENODEV, "network", $"interface {id}");

    /// <summary>Null: none.</summary>
    private static IPAddress? Address(ByteString bytes) => bytes.IsEmpty ? null : new IPAddress(bytes.Span);
}
