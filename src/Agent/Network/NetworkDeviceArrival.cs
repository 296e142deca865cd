using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent.Network;

/// <summary>The way of a network device from the machine's own namespace, where it appears, into that of the containers.</summary>
internal static class NetworkDeviceArrival
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <exception cref="LinuxException">It does not appear (ENODEV), or its name is in use there.</exception>
    public static NetworkLink Take(NetworkInterface wanted, FileDescriptor space, Netlink inside)
    {
        var address = NetworkDevices.HardwareAddress(wanted.Id);
        var device = Await(address)
            ?? throw new LinuxException(Errno.ENODEV, "network", $"{wanted.Name}: the device did not appear within {Patience.TotalSeconds:0} s");
        using (var machine = Netlink.Open())
            NetworkLinks.Change(machine, device, new NetworkLinkChange { Name = wanted.Name, Namespace = space });
        return Find(inside, address) ?? throw new LinuxException(Errno.ENODEV, "network", wanted.Name);
    }

    private static NetworkLink? Find(Netlink netlink, byte[] address) =>
        NetworkLinks.List(netlink).FirstOrDefault(link => address.AsSpan().SequenceEqual(link.HardwareAddress));

    private static NetworkLink? Await(byte[] address)
    {
        using var changes = Netlink.Open(NetlinkGroups.Links);
        using var machine = Netlink.Open();
        return Arrival.Await(changes.Socket, Patience, () => Find(machine, address));
    }
}
