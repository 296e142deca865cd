using System.Text;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Cri;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>A pod on the node's bridge: its namespace, and the addresses that CNI gave it.</summary>
internal sealed record BridgedPod(PodNamespace Namespace, string Address4, string Address6);

/// <summary>
/// A node in namespaces of its own, with the bridge of Debian's CNI plugins, and a client outside of it. The plugins are
/// called as containerd calls them.
/// </summary>
internal sealed class NetworkNode(string directory, NodeNamespaces node, PodNamespace client) : IAsyncDisposable
{
    /// <summary>Of the node, for the client.</summary>
    public const string Address = "192.0.2.1";

    private readonly List<(PodNamespace Pod, string Id, JsonObject Result, int? Port, long Rate)> _pods = [];

    public PodNamespace Client => client;

    public int Pid => node.Pid;

    public static async Task<NetworkNode> MakeAsync(string directory)
    {
        Skip.IfNot(File.Exists("/usr/lib/cni/bridge"), "containernetworking-plugins is not installed");
        var (node, client) = (await NodeNamespaces.MakeAsync(), await PodNamespace.MakeAsync());
        await Check(node.RunAsync("ip", "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", client.Path.Split('/')[2]));
        await Check(node.RunAsync("ip", "address", "add", $"{Address}/24", "dev", "out"));
        await Check(node.RunAsync("ip", "link", "set", "out", "up"));
        await client.RunAsync("ip", "address", "add", "192.0.2.2/24", "dev", "in");
        await client.RunAsync("ip", "link", "set", "in", "up");
        return new NetworkNode(directory, node, client);
    }

    public async Task RunAsync(params string[] command) => await Check(node.RunAsync(command));

    /// <param name="port">Of the node, mapped to the pod's port 8000.</param>
    /// <param name="rate">Bits per second, each way; by default so much that it does not slow the tests down: it is there to be passed through.</param>
    public async Task<BridgedPod> AddPodAsync(int? port = null, long rate = 4_000_000_000)
    {
        var (pod, id) = (await PodNamespace.MakeAsync(), $"pod{_pods.Count}");
        await CallAsync("loopback", "ADD", pod, id, new JsonObject());
        var result = JsonNode.Parse((await CallAsync("bridge", "ADD", pod, id, Bridge())).Text)!.AsObject();
        _pods.Add((pod, id, result, port, rate));
        if (port is not null)
            await CallAsync("portmap", "ADD", pod, id, PortMap(result, port.Value));
        await CallAsync("bandwidth", "ADD", pod, id, Bandwidth(result, rate));
        var addresses = result["ips"]!.AsArray().Select(ip => ((string)ip!["address"]!).Split('/')[0]).ToList();
        return new BridgedPod(pod, addresses[0], addresses[1]);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (pod, id, result, port, rate) in _pods)
        {
            if (port is not null)
                await CallAsync("portmap", "DEL", pod, id, PortMap(result, port.Value));
            await CallAsync("bandwidth", "DEL", pod, id, Bandwidth(result, rate));
            await CallAsync("bridge", "DEL", pod, id, Bridge());
            await pod.DisposeAsync();
        }
        await client.DisposeAsync();
        await node.DisposeAsync();
    }

    private JsonObject Bridge() => JsonNode.Parse($$"""
        {
          "bridge": "cni0", "isGateway": true, "ipMasq": true,
          "ipam": {
            "type": "host-local", "dataDir": "{{directory}}/ipam",
            "ranges": [[{ "subnet": "10.85.0.0/24" }], [{ "subnet": "fd00:85::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
          }
        }
        """)!.AsObject();

    private static JsonObject PortMap(JsonObject result, int port) => new()
    {
        ["capabilities"] = new JsonObject { ["portMappings"] = true },
        ["runtimeConfig"] = new JsonObject
        {
            ["portMappings"] = new JsonArray(new JsonObject { ["hostPort"] = port, ["containerPort"] = 8000, ["protocol"] = "tcp" }),
        },
        ["prevResult"] = result.DeepClone(),
    };

    private static JsonObject Bandwidth(JsonObject result, long rate) => new()
    {
        ["ingressRate"] = rate,
        ["ingressBurst"] = rate / 2,
        ["egressRate"] = rate,
        ["egressBurst"] = rate / 2,
        ["prevResult"] = result.DeepClone(),
    };

    private Task<CommandResult> CallAsync(string plugin, string command, PodNamespace pod, string id, JsonObject configuration)
    {
        (configuration["cniVersion"], configuration["name"], configuration["type"]) = ("0.4.0", "pods", plugin);
        string[] call =
        [
            .. node.Enter[1..], "env", $"CNI_COMMAND={command}", $"CNI_CONTAINERID={id}", $"CNI_NETNS={pod.Path}",
            $"CNI_IFNAME={(plugin == "loopback" ? "lo" : "eth0")}", "CNI_PATH=/usr/lib/cni", $"/usr/lib/cni/{plugin}",
        ];
        return Check(HostCommand.RunAsync(node.Enter[0], call, Encoding.UTF8.GetBytes(configuration.ToJsonString())));
    }

    private static async Task<CommandResult> Check(Task<CommandResult> command)
    {
        var result = await command;
        Assert.True(result.ExitCode == 0, result.ToString());
        return result;
    }
}
