using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>Containers in network namespaces, with a program in them that answers over the network (peer.c).</summary>
public abstract class NetworkCase : CommandLineCase
{
    private Task<string>? _peer;

    /// <summary>The program, compiled statically: containers have no libraries.</summary>
    private protected Task<string> PeerAsync() => _peer ??= CompileAsync($"{Directory}/peer");

    private static async Task<string> CompileAsync(string path)
    {
        AssertOk(await HostCommand.RunAsync(
            "gcc", ["-std=gnu11", "-static", "-O2", "-Wall", "-Wextra", "-s", "-o", path, Path.Combine(AppContext.BaseDirectory, "Network", "peer.c")]));
        return path;
    }

    /// <summary>Starts a container; with the program, unless other words are given.</summary>
    /// <param name="space">Path of its network namespace; null: it has one of its own.</param>
    private protected async Task StartAsync(
        OciRuntime runtime, string id, string? space, Action<JsonNode>? change = null, params string[] command)
    {
        var bundle = Bundle();
        File.Copy(await PeerAsync(), $"{bundle.Rootfs}/bin/peer");
        bundle.Write(command.Length > 0 ? command : ["peer", "serve"], spec =>
        {
            spec["linux"]!["sysctl"] = new JsonObject { ["net.ipv4.ping_group_range"] = "0 1000" };
            foreach (var (_, set) in spec["process"]!["capabilities"]!.AsObject())
                set!.AsArray().Add("CAP_NET_RAW");
            if (space is not null)
                spec["linux"]!["namespaces"]!.AsArray().First(entry => (string?)entry!["type"] == "network")!["path"] = space;
            change?.Invoke(spec);
        });
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, id));
    }

    /// <summary>What a command in the container says; it must succeed.</summary>
    private protected static async Task<string> ExecAsync(OciRuntime runtime, string id, params string[] command)
    {
        var result = await runtime.RunAsync(["exec", id, .. command]);
        AssertOk(result);
        return result.Text;
    }

    private protected static async Task<bool> SucceedsAsync(OciRuntime runtime, string id, params string[] command) =>
        (await runtime.RunAsync(["exec", id, .. command])).ExitCode == 0;
}
