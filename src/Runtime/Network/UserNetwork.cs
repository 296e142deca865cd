using System.Text.Json.Nodes;
using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Network;

/// <summary>
/// A way out for a sandbox that nobody gives a network (katalike.io/network: user): QEMU's own, which opens sockets of the host
/// for what the guest sends. The guest is 10.0.2.15, the gateway 10.0.2.2, DNS 10.0.2.3; nothing can reach it from outside.
/// </summary>
/// <remarks>The gateway's address also leads to the host's own loopback: only for pods that may use what listens there.</remarks>
internal static class UserNetwork
{
    private const uint Id = NetworkDevices.Loopback + 1;

    // Numbers of rtnetlink(7): the main table; made by an administrator, and by the kernel; scope of a link; unicast.
    private const uint Main = 254, Static = 4, Kernel = 2, Link = 253, Unicast = 1;

    public static async Task PlugAsync(HotPlug devices)
    {
        await devices.ExecuteAsync("netdev_add", new JsonObject { ["type"] = "user", ["id"] = "user", ["ipv6"] = false });
        await devices.AddAsync("virtio-net-pci", "user", NetworkPlug.DeviceProperties("user", NetworkDevices.HardwareAddress(Id), 1));
    }

    /// <summary>All that the agent is told.</summary>
    public static SetNetworkRequest Describe() => new()
    {
        Interfaces =
        {
            new NetworkInterface
            {
                Id = Id, Name = "eth0", Mtu = 1500, Up = true, HardwareAddress = ByteString.CopyFrom(NetworkDevices.HardwareAddress(Id)),
                Addresses = { new NetworkAddress { Address = ByteString.CopyFrom(10, 0, 2, 15), PrefixLength = 24, Broadcast = ByteString.CopyFrom(10, 0, 2, 255) } },
            },
        },
        Routes =
        {
            new NetworkRoute
            {
                Destination = ByteString.CopyFrom(10, 0, 2, 0), PrefixLength = 24, Table = Main, Protocol = Kernel, Scope = Link, Type = Unicast,
                Source = ByteString.CopyFrom(10, 0, 2, 15), Hops = { new NetworkHop { Interface = Id } },
            },
            new NetworkRoute
            {
                Destination = ByteString.CopyFrom(0, 0, 0, 0), Table = Main, Protocol = Static, Type = Unicast,
                Hops = { new NetworkHop { Interface = Id, Gateway = ByteString.CopyFrom(10, 0, 2, 2) } },
            },
        },
    };
}
