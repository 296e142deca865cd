using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>Which containers have which network.</summary>
public sealed class SharingTests : NetworkCase
{
    private const string Names = "busybox ip -o link | busybox sed -E 's/^[0-9]+: ([^:]+):.*/\\1/'; readlink /proc/self/ns/net";

    [SkippableFact]
    public async Task Containers_of_a_sandbox_share_its_network_and_one_without_a_path_has_loopback()
    {
        var runtime = Runtime("katalike");
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync();
        var (first, second, alone) = ($"{Id}-1", $"{Id}-2", $"{Id}-3");
        await StartAsync(runtime, first, pod.Namespace.Path, spec => Annotate(spec, "sandbox"));
        await StartAsync(runtime, second, pod.Namespace.Path, spec => Annotate(spec, "container"), "sleep", "1000");
        await StartAsync(runtime, alone, null, spec => Annotate(spec, "container"), "sleep", "1000");

        var seen = await LookAsync(runtime, first);
        Assert.StartsWith("lo\neth0\n", seen, StringComparison.Ordinal);
        Assert.Equal(seen, await LookAsync(runtime, second));
        Assert.Equal("ok", await ExecAsync(runtime, second, "peer", "echo", "127.0.0.1", "5000"));
        Assert.StartsWith("lo\nnet:", await LookAsync(runtime, alone), StringComparison.Ordinal);

        await using var other = await PodNamespace.MakeAsync();
        var stranger = Bundle("true");
        stranger.Write(["true"], spec =>
        {
            Annotate(spec, "container");
            Join(spec, other.Path);
        });
        AssertRefused(await runtime.RunAsync("run", "--bundle", stranger.Path, $"{Id}-4"), 1, "is not the sandbox's: its containers have one network");
        foreach (var id in (string[])[alone, second, first])
            AssertOk(await runtime.RunAsync("delete", "--force", id));
    }

    [SkippableFact]
    public async Task The_hosts_namespace_and_another_sandboxs_are_refused()
    {
        var runtime = Runtime("katalike");
        var bundle = Bundle("true");
        bundle.Write(["true"], spec => Join(spec, "/proc/self/ns/net"));
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "cannot be shared with a virtual machine");
        bundle.Write(["true"], spec => Join(spec, "/proc/self/ns/uts"));
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "linux.namespaces: network: /proc/self/ns/uts: invalid argument");
        bundle.Write(["true"], spec => Join(spec, "/etc/passwd"));
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "linux.namespaces: network: /etc/passwd: invalid argument");

        await using var pod = await PodNamespace.MakeAsync();
        await StartAsync(runtime, Id, pod.Path);
        bundle.Write(["true"], spec => Join(spec, pod.Path));
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, $"{Id}-2"), 1, "belongs to another sandbox");
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task An_annotation_that_is_allowed_gives_a_way_out_through_the_host()
    {
        var runtime = Runtime("katalike");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var bundle = Bundle();
        string[] dial = ["busybox", "nc", "10.0.2.2", $"{((IPEndPoint)listener.LocalEndpoint).Port}"];
        bundle.Write(dial, spec => spec["annotations"] = new JsonObject { ["katalike.io/network"] = "user" });
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "is not allowed");

        File.WriteAllText($"{Directory}/config.toml", "[annotations]\nallowed = [\"network\"]\n");
        var running = runtime.RunAsync("--config", $"{Directory}/config.toml", "run", "--bundle", bundle.Path, Id);
        var accepting = listener.AcceptTcpClientAsync();
        Assert.True(await Task.WhenAny(accepting, running) == accepting, running.IsCompleted ? (await running).ToString() : "");
        using (var client = await accepting)
            await client.GetStream().WriteAsync("from outside"u8.ToArray());
        var result = await running;
        Assert.True(result is { ExitCode: 0, Text: "from outside" }, result.ToString());

        await using var pod = await PodNamespace.MakeAsync();
        bundle.Write(dial, spec =>
        {
            spec["annotations"] = new JsonObject { ["katalike.io/network"] = "user" };
            Join(spec, pod.Path);
        });
        AssertRefused(
            await runtime.RunAsync("--config", $"{Directory}/config.toml", "run", "--bundle", bundle.Path, Id), 1, "is for a sandbox without a network");
    }

    private Task<string> LookAsync(OciRuntime runtime, string id) => ExecAsync(runtime, id, "busybox", "sh", "-c", Names.Replace("readlink", "busybox readlink", StringComparison.Ordinal));

    private void Annotate(JsonNode spec, string type) => spec["annotations"] = new JsonObject
    {
        ["io.kubernetes.cri.sandbox-id"] = Id,
        ["io.kubernetes.cri.container-type"] = type,
    };

    private static void Join(JsonNode spec, string path) =>
        spec["linux"]!["namespaces"]!.AsArray().First(entry => (string?)entry!["type"] == "network")!["path"] = path;
}
