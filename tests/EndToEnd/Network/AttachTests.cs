using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>Interfaces that come and go when the container is there already, or while it is made.</summary>
public sealed class AttachTests : NetworkCase
{
    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task What_changes_in_the_namespace_changes_in_the_container(string name)
    {
        var runtime = Runtime(name);
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync();
        await StartAsync(runtime, Id, pod.Namespace.Path);

        await node.RunAsync("ip", "link", "add", "late", "type", "veth", "peer", "name", "eth1", "netns", pod.Namespace.Path.Split('/')[2]);
        await node.RunAsync("ip", "address", "add", "10.99.0.1/24", "dev", "late");
        await node.RunAsync("ip", "link", "set", "late", "up");
        await pod.Namespace.RunAsync("ip", "address", "add", "10.99.0.2/24", "dev", "eth1");
        await pod.Namespace.RunAsync("ip", "link", "set", "eth1", "up");
        await Eventually.HoldsAsync(() => SucceedsAsync(runtime, Id, "busybox", "ping", "-c", "1", "-W", "1", "10.99.0.1"), "the late interface works");
        await Eventually.HoldsAsync(() => SucceedsAsync(runtime, Id, "busybox", "ping", "-c", "1", "-W", "1", "10.85.0.1"), "the first one still does");

        await pod.Namespace.RunAsync("ip", "address", "add", "10.99.1.2/24", "dev", "eth1");
        await pod.Namespace.RunAsync("ip", "address", "del", "10.99.0.2/24", "dev", "eth1");
        await pod.Namespace.RunAsync("ip", "route", "add", "10.50.0.0/16", "via", "10.99.1.1");
        await Eventually.HoldsAsync(
            async () => (await ExecAsync(runtime, Id, "busybox", "ip", "-4", "-o", "address", "show", "eth1")) is var now
                && now.Contains("10.99.1.2/24", StringComparison.Ordinal) && !now.Contains("10.99.0.2", StringComparison.Ordinal), "its address changes");
        await Eventually.HoldsAsync(
            async () => (await ExecAsync(runtime, Id, "busybox", "ip", "route")).Contains("10.50.0.0/16 via 10.99.1.1", StringComparison.Ordinal), "a route comes");

        await node.RunAsync("ip", "link", "del", "late");
        await Eventually.HoldsAsync(async () => !(await ExecAsync(runtime, Id, "cat", "/proc/net/dev")).Contains("eth1", StringComparison.Ordinal), "it goes");
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Rules_with_their_tables_and_sysctls_of_the_namespace_count_in_the_container(string name)
    {
        var runtime = Runtime(name);
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync();
        // As CNI's plugins "tuning" and "sbr" do it.
        await pod.Namespace.RunAsync("sh", "-c", """
            echo 77 > /proc/sys/net/core/somaxconn; echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_filter; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra
            ip route add default via 10.85.0.1 table 100; ip rule add from 10.85.0.0/24 table 100 priority 50; ip -6 rule add fwmark 7 prohibit priority 60
            """);
        await StartAsync(runtime, Id, pod.Namespace.Path);
        Assert.Equal("77\n1\n0", (await ExecAsync(
            runtime, Id, "sh", "-c", "cd /proc/sys/net && cat core/somaxconn ipv4/conf/eth0/arp_filter ipv6/conf/eth0/accept_ra")).Trim());
        var rules = await ExecAsync(runtime, Id, "sh", "-c", "busybox ip rule; busybox ip -6 rule; busybox ip route show table 100");
        Assert.Contains("50:\tfrom 10.85.0.0/24 lookup 100", rules, StringComparison.Ordinal);
        Assert.Matches("60:\tfrom all fwmark 0x7 .*prohibit", rules);
        Assert.Contains("default via 10.85.0.1 dev eth0", rules, StringComparison.Ordinal);
        Assert.Equal(3 + 1 + 2 + 1 + 1, rules.Trim().Split('\n').Length);

        await pod.Namespace.RunAsync("ip", "rule", "del", "priority", "50");
        await Eventually.HoldsAsync(
            async () => !(await ExecAsync(runtime, Id, "busybox", "ip", "rule")).Contains("50:", StringComparison.Ordinal), "a rule goes");
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableTheory]
    [InlineData("runc", "prestart")]
    [InlineData("katalike", "prestart")]
    [InlineData("runc", "createRuntime")]
    [InlineData("katalike", "createRuntime")]
    public async Task What_a_hook_attaches_is_there_from_the_first_instruction(string name, string list)
    {
        var runtime = Runtime(name);
        await using var node = await NetworkNode.MakeAsync(Directory);
        const string attach = """
            pid=$(sed -E 's/.*"pid": ?([0-9]+).*/\1/')
            ip link add hooked type veth peer name eth0 netns $pid && ip address add 10.98.0.1/24 dev hooked && ip link set hooked up
            nsenter --target $pid --net sh -c 'ip address add 10.98.0.2/24 dev eth0 && ip link set eth0 up'
            """;
        var bundle = Bundle();
        bundle.Write(["busybox", "ip", "-4", "-o", "address"], spec => spec["hooks"] = new JsonObject
        {
            // In the node's network, as the caller would be.
            [list] = new JsonArray(new JsonObject
            {
                ["path"] = "/usr/bin/nsenter",
                ["args"] = new JsonArray("nsenter", $"--net=/proc/{node.Pid}/ns/net", "sh", "-c", attach),
                ["env"] = new JsonArray("PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
            }),
        });
        var result = await runtime.RunAsync("run", "--bundle", bundle.Path, Id);
        AssertOk(result);
        Assert.Contains("10.98.0.2/24", result.Text, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_sandbox_process_that_is_killed_leaves_the_interface_usable()
    {
        var runtime = Runtime("katalike");
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync();
        var before = await pod.Namespace.StateAsync();
        await StartAsync(runtime, Id, pod.Namespace.Path);
        var process = HostInventory.Take(Directory, Id).Items.First(item => item.Contains("katalike sandbox", StringComparison.Ordinal)).Split(' ')[1];
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-KILL", process]));
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
        Assert.Equal(before, await pod.Namespace.StateAsync());
        await pod.Namespace.RunAsync("busybox", "ping", "-c", "1", "10.85.0.1");
    }
}
