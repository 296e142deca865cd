using System.Diagnostics;
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
        // Told of changes before the first look: none is missed.
        using var changes = Netlink.Open(NetlinkGroups.Links);
        using var machine = Netlink.Open();
        using var epoll = new Epoll();
        epoll.Add(changes.Socket, PollEvents.Readable, 0);
        var clock = Stopwatch.StartNew();
        Span<byte> ignored = stackalloc byte[4096];
        while (true)
        {
            if (Find(machine, address) is { } device)
                return device;
            var left = Patience - clock.Elapsed;
            if (left <= TimeSpan.Zero || epoll.Wait((int)left.TotalMilliseconds + 1).Length == 0)
                return null;
            Files.TryRead(changes.Socket, ignored);
        }
    }
}
