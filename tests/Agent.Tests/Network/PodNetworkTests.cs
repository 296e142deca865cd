using System.Net;
using Google.Protobuf;
using KataLike.Agent.Network;
using KataLike.Contract.Agent;
using KataLike.Linux;
using NetworkAddress = KataLike.Contract.Agent.NetworkAddress;
using NetworkHop = KataLike.Contract.Agent.NetworkHop;
using NetworkRoute = KataLike.Contract.Agent.NetworkRoute;

namespace KataLike.Agent.Tests.Network;

/// <summary>With a network namespace in the machine's place, and taps in that of its devices.</summary>
public class PodNetworkTests
{
    [SkippableFact]
    public void TheNetworkBecomesWhatIsSaidAndKeepsWhatTheContainerHasMade()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes network namespaces");
        var pod = new PodNetwork();
        using var machine = NetworkNamespaces.Create();
        using var inside = pod.Ensure();
        NetworkNamespaces.Run(machine, () =>
        {
            var tap = Taps.Create("eth%d", 1);
            using var device = tap.Queues[0];
            using var outer = Netlink.Open();
            NetworkLinks.Change(outer, NetworkLinks.List(outer).Single(link => link.Name == tap.Name), new NetworkLinkChange { HardwareAddress = NetworkDevices.HardwareAddress(2) });

            var first = Request("net1", "10.1.0.2", "10.9.0.0");
            pod.Set(first);
            Assert.Equal(["lo"], NetworkLinks.List(outer).Select(link => link.Name));
            Assert.Equal(("net1", "10.1.0.2 fe80::7", "10.1.0.0 10.9.0.0 fe80::"), Look(inside));

            NetworkNamespaces.Run(inside, () =>
            {
                using var container = Netlink.Open();
                NetworkAddresses.Add(container, new(NetworkLinks.List(container).Single(link => link.Name == "net1").Index, IPAddress.Parse("10.3.0.3"), 32, 0, null, null));
            });
            pod.Set(first);
            pod.Set(Request("eth7", "10.1.0.4", "10.8.0.0"));
            var (name, addresses, routes) = Look(inside);
            Assert.Equal(("eth7", "10.1.0.4 10.3.0.3 fe80::7", "10.1.0.0 10.8.0.0 fe80::"), (name, addresses, routes));

            // from 10.1.0.4 lookup 100; the same for a system that has no such sysctl.
            var ruled = Request("eth7", "10.1.0.4", "10.8.0.0");
            ruled.Rules.Add(new Contract.Agent.NetworkRule
            {
                Body = ByteString.CopyFrom(2, 0, 32, 0, 100, 0, 0, 1, 0, 0, 0, 0, 8, 0, 2, 0, 10, 1, 0, 4, 8, 0, 6, 0, 0, 2, 0, 0),
            });
            ruled.Sysctls.Add([new() { Path = "ipv4/conf/eth7/arp_filter", Value = "1" }, new() { Path = "ipv4/none", Value = "1" }, new() { Path = "../kernel/hostname", Value = "x" }]);
            var hostname = File.ReadAllText("/proc/sys/kernel/hostname");
            pod.Set(ruled);
            Assert.Equal(("1", 1), Ruled(inside));
            pod.Set(Request("eth7", "10.1.0.4", "10.8.0.0"));
            Assert.Equal(("1", 0), Ruled(inside));
            Assert.Equal(hostname, File.ReadAllText("/proc/sys/kernel/hostname"));

            // One thing that cannot be is said, and keeps the rest from nothing.
            var wrong = Request("eth7", "10.1.0.4", "10.7.0.0");
            wrong.Routes[1].Hops[0].Interface = 9;
            wrong.Routes.Add(Request("eth7", "10.1.0.4", "10.6.0.0").Routes[1]);
            Assert.Contains("interface 9", Assert.Throws<LinuxException>(() => pod.Set(wrong)).Message, StringComparison.Ordinal);
            Assert.Contains("10.6.0.0", Look(inside).Routes, StringComparison.Ordinal);

            device.Dispose();
            // A child that another test is starting has the device until its execve.
            SpinWait.SpinUntil(() => Look(inside).Name.Length == 0, TimeSpan.FromSeconds(5));
            pod.Set(new SetNetworkRequest());
            Assert.Equal(("", "", ""), Look(inside));
        });
    }

    private static (string Filter, int Rules) Ruled(FileDescriptor space)
    {
        var seen = ("", 0);
        NetworkNamespaces.Run(space, () =>
        {
            using var netlink = Netlink.Open();
            seen = (KernelFiles.Read("/proc/sys/net/ipv4/conf/eth7/arp_filter").Trim(), NetworkRules.List(netlink).Count);
        });
        return seen;
    }

    private static (string Name, string Addresses, string Routes) Look(FileDescriptor space)
    {
        var seen = ("", "", "");
        NetworkNamespaces.Run(space, () =>
        {
            using var netlink = Netlink.Open();
            seen = (
                string.Join(' ', NetworkLinks.List(netlink).Where(link => !link.IsLoopback).Select(link => link.Name)),
                string.Join(' ', NetworkAddresses.List(netlink).Where(address => !IPAddress.IsLoopback(address.Address)).Select(address => $"{address.Address}").Order(StringComparer.Ordinal)),
                string.Join(' ', NetworkRoutes.List(netlink).Select(route => $"{route.Destination}").Order(StringComparer.Ordinal)));
        });
        return seen;
    }

    private static SetNetworkRequest Request(string name, string address, string route) => new()
    {
        Interfaces =
        {
            new NetworkInterface
            {
                Id = 2, Name = name, Mtu = 1400, Up = true, HardwareAddress = ByteString.CopyFrom(2, 0, 0, 0, 0, 1),
                Addresses = { new NetworkAddress { Address = Bytes(address), PrefixLength = 24 }, new NetworkAddress { Address = Bytes("fe80::7"), PrefixLength = 64, Scope = 253 } },
            },
        },
        Routes =
        {
            new NetworkRoute { Destination = Bytes("10.1.0.0"), PrefixLength = 24, Table = 254, Protocol = 2, Scope = 253, Type = 1, Hops = { new NetworkHop { Interface = 2 } } },
            new NetworkRoute { Destination = Bytes(route), PrefixLength = 16, Table = 254, Protocol = 3, Type = 1, Hops = { new NetworkHop { Interface = 2, Gateway = Bytes("10.1.0.1") } } },
            new NetworkRoute { Destination = Bytes("fe80::"), PrefixLength = 64, Table = 254, Protocol = 2, Type = 1, Priority = 256, Hops = { new NetworkHop { Interface = 2 } } },
        },
    };

    private static ByteString Bytes(string address) => ByteString.CopyFrom(IPAddress.Parse(address).GetAddressBytes());
}
