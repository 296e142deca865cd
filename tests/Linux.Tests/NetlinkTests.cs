using System.Net;

namespace KataLike.Linux.Tests;

public class NetlinkTests
{
    private static readonly NetworkLink Eth0 = new(5, "eth0", 1, 0x1003, 1500, [2, 0, 0, 0, 0, 1], 0, 0, "veth");
    private static readonly NetworkLink Tap = Eth0 with { Index = 9, Name = "katalike0", Kind = "tun" };

    [SkippableFact]
    public void ADeviceThatComesIsToldOf()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a network namespace");
        using var space = NetworkNamespaces.Create();
        FileDescriptor? opened = null;
        IReadOnlyList<FileDescriptor> tap = [];
        NetworkNamespaces.Run(space, () => (opened, tap) = (Netlink.OpenDeviceEvents(), Taps.Create("told%d", 1).Queues));
        using var events = opened!;
        Span<byte> first = stackalloc byte[4096];
        var text = System.Text.Encoding.UTF8.GetString(first[..Files.Read(events, first)]);
        Assert.StartsWith("add@/devices/virtual/net/told0\0", text, StringComparison.Ordinal);
        foreach (var queue in tap)
            queue.Dispose();
    }

    // Header; structure; attributes.
    [Fact]
    public void MessagesAreTheKernels()
    {
        AssertHex(
            "28000000 1300 0100 00000000 00000000 " + "00000000 05000000 01000000 01000000 " + "0800 0400 dc050000",
            NetworkLinks.Message(Eth0, new NetworkLinkChange { Mtu = 1500, Up = true }));
        AssertHex(
            "30000000 1300 0100 00000000 00000000 " + "00000000 05000000 00000000 00000000 " + "1000 1a00 0c00 0a00 0500 0800 01 000000",
            NetworkLinks.Message(Eth0, new NetworkLinkChange { WithoutOwnAddresses = true }));
        AssertHex(
            "28000000 1400 0105 00000000 00000000 " + "02 18 00 00 05000000 " + "0800 0200 0a580002 0800 0100 0a580002",
            NetworkAddresses.Message(20, 0x500, new NetworkAddress(5, IPAddress.Parse("10.88.0.2"), 24, 0, null, null)));
        AssertHex(
            "34000000 1800 010c 00000000 00000000 " + "02 00 00 00 fe 03 00 01 00000000 " + "0800 0f00 fe000000 0800 0400 05000000 0800 0500 0a580001",
            NetworkRoutes.Message(24, 0xc00, Route(0, "0.0.0.0", new NetworkHop(5, IPAddress.Parse("10.88.0.1"), false))));
        AssertHex(
            "50000000 1800 010c 00000000 00000000 " + "02 10 00 00 fe 03 00 01 00000000 " + "0800 0f00 fe000000 0800 0100 0a070000 " +
            "2400 0900 1000 00 02 05000000 0800 0500 0a580003 1000 04 00 05000000 0800 0500 0a580004",
            NetworkRoutes.Message(24, 0xc00, Route(
                16, "10.7.0.0", new NetworkHop(5, IPAddress.Parse("10.88.0.3"), false, 2), new NetworkHop(5, IPAddress.Parse("10.88.0.4"), true))));
        AssertHex(
            "24000000 1c00 0105 00000000 00000000 " + "02 000000 05000000 8000 00 00 " + "0800 0100 0a580009",
            NetworkNeighbors.Message(28, 0x500, new NetworkNeighbor(5, IPAddress.Parse("10.88.0.9"), [2, 0, 0, 0, 0, 9])));
        AssertHex(
            "30000000 2400 0106 00000000 00000000 " + "00000000 05000000 0000ffff f1ffffff 00000000 " + "0c00 0100 696e677265737300",
            TrafficControl.Qdisc(36, 0x600, Eth0));
        AssertHex(
            "8c000000 2c00 0106 00000000 00000000 " + "00000000 05000000 00000000 0000ffff 00030100 " + "0800 0100 75333200 " +
            "6000 0200 2400 0500 01 00 01 00 0000 0000 0000 0000 00000000 00000000 00000000 00000000 00000000 " +
            "3800 0700 3400 0100 0b00 0100 6d697272656400 00 2400 0200 " +
            "2000 0200 00000000 00000000 04000000 00000000 00000000 01000000 09000000 ",
            TrafficControl.Filter(Eth0, Tap));
    }

    [Fact]
    public void WhatIsBuiltIsRead()
    {
        NetworkRoute[] routes =
        [
            Route(0, "0.0.0.0", new NetworkHop(5, IPAddress.Parse("10.88.0.1"), true)),
            Route(24, "10.1.0.0", new NetworkHop(5, IPAddress.Parse("fe80::1"), false)),
            Route(64, "fd00::", new NetworkHop(5, IPAddress.Parse("fe80::1"), false, 3), new NetworkHop(6, null, true, 4)) with
            {
                Table = 1000, Priority = 7, Source = IPAddress.Parse("fd00::2"), Metrics = [8, 0, 2, 0, 0, 5, 0, 0],
            },
        ];
        foreach (var route in routes)
        {
            var read = Read(NetworkRoutes.Message(24, 0, route), NetworkRoutes.Parse)!;
            Assert.Equal(route.Hops, read.Hops);
            Assert.Equal(route.Metrics, read.Metrics);
            Assert.Equal(route, read with { Hops = route.Hops, Metrics = route.Metrics });
        }
        var address = new NetworkAddress(5, IPAddress.Parse("10.0.0.1"), 32, 253, IPAddress.Parse("10.0.0.2"), IPAddress.Parse("10.0.0.3"), Permanent: false);
        Assert.Equal(address, Read(NetworkAddresses.Message(20, 0, address), NetworkAddresses.Parse));
    }

    [Fact]
    public void MutatedAnswersAreReadOrPassedOver()
    {
        var random = new Random(4);
        byte[][] originals =
        [
            NetworkLinks.Message(Eth0, new NetworkLinkChange { Name = "x", Mtu = 1, WithoutOwnAddresses = true }).Finish(1).ToArray(),
            NetworkAddresses.Message(20, 0, new NetworkAddress(5, IPAddress.IPv6Loopback, 128, 0, IPAddress.IPv6Any, null)).Finish(1).ToArray(),
            NetworkRoutes.Message(24, 0, Route(16, "10.7.0.0", new NetworkHop(5, IPAddress.Any, false), new NetworkHop(5, IPAddress.IPv6Any, true))).Finish(1).ToArray(),
            NetworkNeighbors.Message(28, 0, new NetworkNeighbor(5, IPAddress.Any, [1])).Finish(1).ToArray(),
            NetworkRules.Message(32, 0, new NetworkRule([2, 0, 0, 0, 100, 0, 0, 1, 0, 0, 0, 0, 8, 0, 6, 0, 7, 0, 0, 0])).Finish(1).ToArray(),
        ];
        for (var round = 0; round < 100_000; round++)
        {
            var bytes = originals[random.Next(originals.Length)].Concat(originals[random.Next(originals.Length)]).ToArray();
            for (var i = random.Next(12); i > 0; i--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            ReadOnlySpan<byte> left = bytes.AsSpan(0, random.Next(bytes.Length + 1));
            while (NetlinkAnswer.TryRead(ref left, out var answer))
            {
                NetworkLinks.Parse(answer);
                NetworkAddresses.Parse(answer);
                NetworkRoutes.Parse(answer);
                NetworkNeighbors.Parse(answer);
                NetworkRules.Parse(answer);
            }
        }
    }

    [SkippableFact]
    public void WhatIsAddedIsListedAndWhatIsRemovedIsNot()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes network namespaces");
        using var space = NetworkNamespaces.Create();
        Netlink? opened = null;
        (string Name, IReadOnlyList<FileDescriptor> Queues) tap = ("", []), second = ("", []);
        NetworkNamespaces.Run(space, () => (opened, tap, second) = (Netlink.Open(), Taps.Create("test%d", 1), Taps.Create("test%d", 2)));
        using var netlink = opened!;
        var link = NetworkLinks.List(netlink).Single(link => link.Name == "test0");
        var other = NetworkLinks.List(netlink).Single(link => link.Name == "test1");
        NetworkLinks.Change(netlink, link, new NetworkLinkChange { Mtu = 1400, HardwareAddress = [2, 0, 0, 0, 0, 7], Name = "eth0", WithoutOwnAddresses = true });
        NetworkLinks.Change(netlink, link, new NetworkLinkChange { Up = true, NoArp = true });
        var changed = NetworkLinks.List(netlink).Single(one => one.Index == link.Index);
        Assert.Equal(("eth0", 1400u, true, true), (changed.Name, changed.Mtu, changed.IsUp, changed.HasNoArp));
        Assert.Equal([2, 0, 0, 0, 0, 7], changed.HardwareAddress);

        foreach (var address in (NetworkAddress[])[Address("10.1.0.2", 24), Address("fd01::2", 64), Address("fe80::7", 64)])
        {
            NetworkAddresses.Add(netlink, address);
            NetworkAddresses.Add(netlink, address);
            Assert.Single(NetworkAddresses.List(netlink), one => one.Link == link.Index && one.Address.Equals(address.Address));
        }
        var route = Route(24, "10.1.0.0", new NetworkHop(link.Index, null, false)) with { Scope = 253 };
        var viaGateway = Route(64, "fd02::", new NetworkHop(link.Index, IPAddress.Parse("fe80::1"), false)) with { Priority = 9 };
        foreach (var each in (NetworkRoute[])[route, viaGateway])
        {
            NetworkRoutes.Add(netlink, each);
            NetworkRoutes.Add(netlink, each);
            var listed = Assert.Single(NetworkRoutes.List(netlink), one => one.Destination.Equals(each.Destination));
            Assert.Equal(each.Hops, listed.Hops);
            NetworkRoutes.Remove(netlink, each);
            NetworkRoutes.Remove(netlink, each);
            Assert.DoesNotContain(NetworkRoutes.List(netlink), one => one.Destination.Equals(each.Destination));
        }
        var neighbor = new NetworkNeighbor(link.Index, IPAddress.Parse("10.1.0.9"), [2, 0, 0, 0, 0, 9]);
        NetworkNeighbors.Add(netlink, neighbor);
        Assert.Single(NetworkNeighbors.List(netlink), one => one.Address.Equals(neighbor.Address));
        NetworkNeighbors.Remove(netlink, neighbor);
        NetworkNeighbors.Remove(netlink, neighbor);
        NetworkAddresses.Remove(netlink, Address("10.1.0.2", 24));
        NetworkAddresses.Remove(netlink, Address("10.1.0.2", 24));
        Assert.DoesNotContain(NetworkAddresses.List(netlink), one => one.Address.Equals(IPAddress.Parse("10.1.0.2")));

        Assert.Empty(NetworkRules.List(netlink));
        // from 10.1.0.0/16 iif eth0 lookup 100 priority 7
        byte[] body = [2, 0, 16, 0, 100, 0, 0, 1, 0, 0, 0, 0, 8, 0, 2, 0, 10, 1, 0, 0, 9, 0, 3, 0, .. "eth0\0"u8, 0, 0, 0, 8, 0, 6, 0, 7, 0, 0, 0];
        NetworkRules.Add(netlink, new NetworkRule(body));
        var rule = Assert.Single(NetworkRules.List(netlink));
        NetworkRules.Add(netlink, rule);
        Assert.Equal(rule.Body, Assert.Single(NetworkRules.List(netlink)).Body);
        NetworkRules.Remove(netlink, rule);
        NetworkRules.Remove(netlink, rule);
        Assert.Empty(NetworkRules.List(netlink));

        TrafficControl.Redirect(netlink, link, other);
        TrafficControl.Redirect(netlink, link, other);
        TrafficControl.Remove(netlink, link);
        TrafficControl.Remove(netlink, link);

        // A tap ends with the last of its descriptors. A child that another test is starting has it until its execve.
        tap.Queues[0].Dispose();
        second.Queues[0].Dispose();
        SpinWait.SpinUntil(() => NetworkLinks.List(netlink).All(one => one.Name != "eth0"), TimeSpan.FromSeconds(5));
        Assert.Equal(["lo", "test1"], NetworkLinks.List(netlink).Select(one => one.Name).Order());
        second.Queues[1].Dispose();

        NetworkAddress Address(string text, byte length) => new(link.Index, IPAddress.Parse(text), length, 0, null, null);
    }

    [SkippableFact]
    public void ANamespaceIsLockedByTheFirstThatOpensIt()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes network namespaces");
        using var space = NetworkNamespaces.Create();
        using var own = NamespaceFiles.Own(Namespaces.Network);
        Assert.False(NetworkNamespaces.Same(space, own));
        var path = "";
        using var held = Files.Reopen(space, Files.ReadOnly);
        path = held.ProcPath;
        using var first = NetworkNamespaces.Open(path);
        Assert.True(NetworkNamespaces.Same(space, first));
        Assert.True(FileLock.TryAcquire(first));
        using (var second = NetworkNamespaces.Open(path))
            Assert.False(FileLock.TryAcquire(second));
        Assert.Equal(Errno.EINVAL, Assert.Throws<LinuxException>(() => NetworkNamespaces.Open("/proc/self/ns/uts")).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<LinuxException>(() => NetworkNamespaces.Open("/dev/zero")).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<LinuxException>(() => NetworkNamespaces.Open("/etc/passwd")).Errno);
    }

    private static NetworkRoute Route(byte length, string destination, params NetworkHop[] hops) =>
        new(IPAddress.Parse(destination), length, 254, 3, 0, 1, 0, null, [], hops);

    private static void AssertHex(string expected, NetlinkMessage message) =>
        Assert.Equal(expected.Replace(" ", "", StringComparison.Ordinal), Convert.ToHexStringLower(message.Finish(0)));

    private delegate T? Parser<out T>(NetlinkAnswer answer);

    private static T? Read<T>(NetlinkMessage message, Parser<T> parse)
        where T : class
    {
        ReadOnlySpan<byte> bytes = message.Finish(0);
        Assert.True(NetlinkAnswer.TryRead(ref bytes, out var answer));
        return parse(answer);
    }
}
