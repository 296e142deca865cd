using KataLike.Linux;
using KataLike.Runtime.Network;

namespace KataLike.Runtime.Tests.Network;

public class NetworkSysctlsTests
{
    [SkippableFact]
    public async Task OnlyWhatSomebodyHasSetIsTold()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes network namespaces");
        using var space = NetworkNamespaces.Create();
        IReadOnlyList<FileDescriptor> tap = [];
        NetworkNamespaces.Run(space, () => tap = Taps.Create("eth%d", 1).Queues);
        using var device = tap[0];
        var sysctls = new NetworkSysctls(space);
        Assert.Empty(await sysctls.TakeAsync(["eth0"]));

        void Write(string path, string value) => NetworkNamespaces.Run(space, () => KernelFiles.Write($"/proc/sys/net/{path}", value));
        Write("core/somaxconn", "77");
        Write("ipv4/conf/eth0/arp_filter", "1");
        Write("ipv4/ip_local_port_range", "2000 3000");
        Write("ipv6/conf/eth0/accept_ra", "0");
        Assert.Equal(
            ["core/somaxconn=77", "ipv4/conf/eth0/arp_filter=1", "ipv4/ip_local_port_range=2000\t3000", "ipv6/conf/eth0/accept_ra=0"],
            (await sysctls.TakeAsync(["eth0"])).Select(sysctl => $"{sysctl.Key}={sysctl.Value}"));
        Write("ipv4/conf/eth0/arp_filter", "0");
        Assert.Contains(KeyValuePair.Create("ipv4/conf/eth0/arp_filter", "0"), await sysctls.TakeAsync(["eth0"]));
    }
}
