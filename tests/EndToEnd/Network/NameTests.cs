using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using KataLike.Linux;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>Docker's networks have a name server on a loopback address of the container's network namespace.</summary>
public sealed class NameTests : NetworkCase
{
    private const string Server = "127.0.0.11";

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_name_server_on_a_loopback_address_of_the_namespace_answers(string name)
    {
        var runtime = Runtime(name);
        await using var pod = await PodNamespace.MakeAsync();
        using var server = Listen(pod.Path);
        _ = AnswerAsync(server);
        File.WriteAllText($"{Directory}/resolv.conf", $"nameserver {Server}\noptions ndots:0\n");
        await StartAsync(runtime, Id, pod.Path, spec => spec["mounts"]!.AsArray().Add(new JsonObject
        {
            ["destination"] = "/etc/resolv.conf",
            ["type"] = "bind",
            ["source"] = $"{Directory}/resolv.conf",
            ["options"] = new JsonArray("rbind", "rprivate"),
        }), "sleep", "1000");
        for (var i = 0; i < 3; i++)
            Assert.Contains($"10.9.8.{i}", await ExecAsync(runtime, Id, "busybox", "nslookup", $"{i}.test"), StringComparison.Ordinal);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    private static Socket Listen(string space)
    {
        using var network = NetworkNamespaces.Open(space);
        Socket? socket = null;
        NetworkNamespaces.Run(network, () => socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        socket!.Bind(new IPEndPoint(IPAddress.Parse(Server), 53));
        return socket;
    }

    /// <summary>N.test has the address 10.9.8.N, and none of IPv6.</summary>
    private static async Task AnswerAsync(Socket server)
    {
        var question = new byte[512];
        while (true)
        {
            var received = await server.ReceiveFromAsync(question, new IPEndPoint(IPAddress.Any, 0));
            // One question: the header, the labels and their end, type and class.
            var end = 12 + question.AsSpan(12).IndexOf((byte)0) + 5;
            var isIPv4 = BinaryPrimitives.ReadUInt16BigEndian(question.AsSpan(end - 4)) == 1;
            byte[] header = [question[0], question[1], 0x81, 0x80, 0, 1, 0, (byte)(isIPv4 ? 1 : 0), 0, 0, 0, 0];
            byte[] answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, (byte)(question[13] - '0')];
            byte[] message = [.. header, .. question[12..end], .. isIPv4 ? answer : []];
            await server.SendToAsync(message, received.RemoteEndPoint);
        }
    }
}
