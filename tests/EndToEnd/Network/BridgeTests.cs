using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>Pods on a bridge that CNI's plugins have made: the same for a container of the host's and for a machine's.</summary>
public sealed class BridgeTests : NetworkCase
{
    // 1073741824 by hand: KATALIKE_TRANSFER.
    private static readonly string Transfer = Environment.GetEnvironmentVariable("KATALIKE_TRANSFER") ?? "100000000";

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Pods_talk_to_each_other_and_through_a_mapped_port_and_leave_nothing(string name)
    {
        var runtime = Runtime(name);
        await using var node = await NetworkNode.MakeAsync(Directory);
        var (first, second) = (await node.AddPodAsync(port: 8080), await node.AddPodAsync());
        string[] before = [await first.Namespace.StateAsync(), await second.Namespace.StateAsync()];
        var (one, other) = ($"{Id}-1", $"{Id}-2");
        await Task.WhenAll(StartAsync(runtime, one, first.Namespace.Path), StartAsync(runtime, other, second.Namespace.Path));

        foreach (var address in (string[])[first.Address4, first.Address6])
        {
            await Eventually.HoldsAsync(() => SucceedsAsync(runtime, other, "peer", "put", address, "8000", "1"), $"{address} serves");
            Assert.Equal("ok", await ExecAsync(runtime, other, "peer", "echo", address, "5000"));
            Assert.Equal("ok", await ExecAsync(runtime, other, "peer", "put", address, "8000", Transfer));
        }
        Assert.Equal("ok", await ExecAsync(runtime, one, "peer", "get", second.Address6, "8000", Transfer));
        var peer = await PeerAsync();
        Assert.Equal("ok", await node.Client.RunAsync(peer, "get", NetworkNode.Address, "8080", Transfer));
        Assert.Equal("ok", await node.Client.RunAsync(peer, "put", NetworkNode.Address, "8080", Transfer));

        foreach (var id in (string[])[one, other])
            AssertOk(await runtime.RunAsync("delete", "--force", id));
        string[] after = [await first.Namespace.StateAsync(), await second.Namespace.StateAsync()];
        Assert.Equal(before, after);
        Assert.Empty((string[])[.. first.Namespace.Users(), .. second.Namespace.Users()]);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_limit_of_bandwidth_holds_both_ways(string name)
    {
        var runtime = Runtime(name);
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync(rate: 16_000_000);
        await StartAsync(runtime, Id, pod.Namespace.Path);
        await Eventually.HoldsAsync(() => SucceedsAsync(runtime, Id, "sh", "-c", "busybox netstat -ltn | busybox grep -q :8000"), "the server listens");
        foreach (var way in (string[])["get", "put"])
        {
            // Six megabytes are 48 megabits, of which 8 pass at once, and 40 in two and a half seconds.
            var time = System.Diagnostics.Stopwatch.StartNew();
            await node.RunAsync(await PeerAsync(), way, pod.Address4, "8000", "6000000");
            Assert.True(time.Elapsed > TimeSpan.FromSeconds(2), $"{way}: {time.Elapsed}");
        }
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_container_sees_what_the_plugins_have_set(string name)
    {
        var runtime = Runtime(name);
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync();
        await pod.Namespace.RunAsync("ip", "link", "set", "eth0", "mtu", "1400");
        await pod.Namespace.RunAsync("ip", "neighbor", "add", "10.85.0.99", "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent");
        await pod.Namespace.RunAsync("ip", "route", "add", "10.9.0.0/16", "via", "10.85.0.1", "metric", "7", "src", pod.Address4);
        await pod.Namespace.RunAsync("ip", "route", "add", "10.8.0.0/16", "via", "192.168.7.7", "dev", "eth0", "onlink");
        await pod.Namespace.RunAsync("ip", "route", "add", "unreachable", "10.6.0.0/16");
        await pod.Namespace.RunAsync("ip", "route", "add", "10.5.0.0/16", "dev", "eth0", "table", "77");
        await StartAsync(runtime, Id, pod.Namespace.Path);

        const string look = "ip -4 route; ip -6 route | grep -v ff00; ip route show table 77; ip neighbor | grep PERMANENT | sed 's/ used.*probes 0//'; "
            + "for i in 4 6; do ip -$i address | grep -o -E 'inet6? [^ ]+'; done; cat /proc/sys/net/ipv4/ping_group_range";
        var seen = await ExecAsync(runtime, Id, "busybox", "sh", "-c", look.Replace("ip ", "busybox ip ", StringComparison.Ordinal).Replace("grep", "busybox grep", StringComparison.Ordinal).Replace("sed", "busybox sed", StringComparison.Ordinal));
        // By the same program, in the namespace that it is to be like.
        var expected = await pod.Namespace.RunAsync("busybox", "sh", "-c", look.Replace("ip ", "busybox ip ", StringComparison.Ordinal).Replace("cat /proc", "echo '0\t1000'; : /proc", StringComparison.Ordinal));
        Assert.Equal(expected, seen);
        Assert.Contains("10.9.0.0/16 via 10.85.0.1 dev eth0  src", seen, StringComparison.Ordinal);
        var link = await ExecAsync(runtime, Id, "busybox", "ip", "-o", "link", "show", "eth0");
        Assert.Contains("mtu 1400", link, StringComparison.Ordinal);
        Assert.Contains((await pod.Namespace.RunAsync("sh", "-c", "ip -o link show eth0 | grep -o -E 'link/ether [^ ]+'")), link, StringComparison.Ordinal);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }
}
