using System.Net;
using KataLike.Linux;
using KataLike.Runtime.Network;

namespace KataLike.Runtime.Tests.Network;

public class NetworkSnapshotTests
{
    private static readonly NetworkLink Loopback = new(1, "lo", 772, 0x9, 65536, new byte[6], 0, 0, "");
    private static readonly NetworkLink Eth0 = new(2, "eth0", 1, 0x1003, 1450, [2, 0, 0, 0, 0, 1], 0, 0, "veth");

    [Fact]
    public void TheGuestGetsWhatCarriesFramesFromElsewhere()
    {
        NetworkLink[] links =
        [
            Loopback, Eth0, Eth0 with { Index = 3, Name = "katalike0", Kind = "tun" },
            Eth0 with { Index = 4, Name = "net1", Kind = "macvlan", Flags = 0 },
            Eth0 with { Index = 5, Name = "gretap0", Kind = "gretap", Flags = 0 },
            Eth0 with { Index = 6, Name = "eth0.7", Kind = "vlan", Parent = 2 },
            Eth0 with { Index = 7, Name = "port", Master = 8 },
            Eth0 with { Index = 8, Name = "br0", Kind = "bridge", Flags = 0 },
            Eth0 with { Index = 9, Name = "tun0", Kind = "tun", HardwareType = 65534 },
        ];
        var snapshot = new NetworkSnapshot(links, [], [], [], []);
        Assert.Equal([2, 4, 8], snapshot.Interfaces([3], _ => false).Select(link => link.Index));
        Assert.Equal([2, 4, 5, 8], snapshot.Interfaces([3], index => index == 5).Select(link => link.Index));
    }

    [Fact]
    public void TheAgentIsToldWhatTheKernelKnowsAndLearnsNotByItself()
    {
        var gateway = IPAddress.Parse("10.1.0.1");
        var snapshot = new NetworkSnapshot(
            [Loopback, Eth0, Eth0 with { Index = 3 }],
            [
                new(1, IPAddress.Loopback, 8, 254, null, null), new(1, IPAddress.Parse("192.0.2.9"), 32, 0, null, null),
                new(2, IPAddress.Parse("10.1.0.2"), 24, 0, null, IPAddress.Parse("10.1.0.255")),
                new(2, IPAddress.Parse("2001:db8::5"), 64, 0, null, null, Permanent: false), new(3, IPAddress.Parse("10.2.0.2"), 24, 0, null, null),
            ],
            [
                new(IPAddress.Any, 0, 254, 3, 0, 1, 0, null, [], [new NetworkHop(2, gateway, false)]),
                new(IPAddress.Parse("10.2.0.0"), 24, 254, 2, 253, 1, 0, null, [], [new NetworkHop(3, null, false)]),
                new(IPAddress.Parse("10.6.0.0"), 16, 254, 3, 0, 7, 0, null, [], [new NetworkHop(0, null, false)]),
            ],
            [new(2, gateway, [2, 0, 0, 0, 0, 9]), new(3, gateway, [2, 0, 0, 0, 0, 9])], [new([1, 2, 3])]);

        var told = snapshot.Describe(new Dictionary<int, uint> { [2] = 7 });
        Assert.Equal([1, 2, 3], Assert.Single(told.Rules).Body.ToByteArray());
        Assert.Equal([(1u, "lo"), (7u, "eth0")], told.Interfaces.Select(item => (item.Id, item.Name)));
        Assert.Equal(["192.0.2.9", "10.1.0.2"], told.Interfaces.SelectMany(item => item.Addresses).Select(item => new IPAddress(item.Address.Span).ToString()));
        Assert.Equal([(0u, 7u), (16u, 0u)], told.Routes.Select(route => (route.PrefixLength, route.Hops[0].Interface)));
        Assert.Equal(7u, Assert.Single(told.Neighbors).Interface);
    }

    [Theory]
    [InlineData(1, """{"netdev":"net2","mac":"02:6b:6c:00:01:02","romfile":"","rx_queue_size":1024}""")]
    [InlineData(2, """{"netdev":"net2","mac":"02:6b:6c:00:01:02","romfile":"","rx_queue_size":1024,"mq":true,"vectors":6}""")]
    public void SeveralQueuesOnlyWhereThereAreSeveral(int queues, string expected) => Assert.Equal(
        expected, NetworkPlug.DeviceProperties("net2", Contract.Agent.NetworkDevices.HardwareAddress(0x102), queues).ToJsonString());
}
