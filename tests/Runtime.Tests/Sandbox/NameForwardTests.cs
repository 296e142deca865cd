using System.Net;
using System.Net.Sockets;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Sandboxes;

public sealed class NameForwardTests
{
    [Theory]
    [InlineData("nameserver 127.0.0.11\noptions ndots:0\n", "127.0.0.11")]
    [InlineData("# nameserver 127.0.0.1\nsearch a\n\tnameserver\t127.0.0.53 x\r\nnameserver ::1\nnameserver 10.0.0.1", "127.0.0.53 ::1")]
    [InlineData("nameserver\nnameserver name\nnameservers 127.0.0.1\n", "")]
    public void Only_name_servers_on_loopback_addresses_count(string file, string servers) =>
        Assert.Equal(servers, string.Join(' ', NameForward.Servers(file)));

    [Fact]
    public void What_is_no_file_has_no_servers()
    {
        Assert.Empty(NameForward.ServersOf(With("/no/such/file")));
        Assert.Empty(NameForward.ServersOf(With("/dev/zero")));
        Assert.Empty(NameForward.ServersOf(With(null)));
    }

    [SkippableFact]
    public async Task Each_answer_has_its_questions_number_and_garbage_is_dropped()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root");
        using var space = NetworkNamespaces.Create();
        using var server = ServerIn(space);
        var (ours, guests) = UnixSockets.Pair();
        using var forward = new NameForward(space, IPAddress.Loopback, SocketStreams.Take(ours));
        var serving = forward.ServeAsync();
        await using var guest = SocketStreams.Take(guests);
        await guest.WriteAsync(NameFrames.Encode(1, "short"u8));
        foreach (ushort number in (ushort[])[7, 65535])
            await guest.WriteAsync(NameFrames.Encode(number, "a question that is long enough"u8));
        var asked = new byte[100];
        for (var i = 0; i < 2; i++)
        {
            EndPoint asker = new IPEndPoint(IPAddress.Any, 0);
            var length = server.ReceiveFrom(asked, ref asker);
            Assert.Equal("a question that is long enough"u8, asked.AsSpan(0, length));
            server.SendTo("an answer"u8, asker);
        }
        var answers = new[] { await NameFrames.ReadAsync(guest), await NameFrames.ReadAsync(guest) };
        Assert.Equal([7, 65535], answers.Select(answer => (int)answer.Number).Order());
        Assert.All(answers, answer => Assert.Equal("an answer"u8, answer.Message));
        // Half a frame, and the end.
        await guest.WriteAsync(new byte[] { 0, 1, 0 });
        guest.Dispose();
        await serving;
    }

    [Fact]
    public async Task A_server_whose_first_container_was_given_up_is_asked_for_again_and_then_no_more()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "nameserver 127.0.0.11\n");
        try
        {
            await using var vsock = new VhostUserVsock();
            using var space = NetworkNamespaces.Open("/proc/self/ns/net");
            using var forwards = new LocalhostForwards(space, vsock, warning => Assert.Fail(warning));
            var asked = new List<ForwardNamesRequest>();
            Task Answer(ForwardNamesRequest request)
            {
                asked.Add(request);
                return asked.Count == 1 ? Task.FromCanceled(new CancellationToken(true)) : Task.CompletedTask;
            }

            await Assert.ThrowsAsync<TaskCanceledException>(() => forwards.ForwardNamesAsync(With(file), Answer, default));
            await forwards.ForwardNamesAsync(With(file), Answer, default);
            await forwards.ForwardNamesAsync(With(file), Answer, default);
            Assert.All(asked, request => Assert.Equal([127, 0, 0, 11], request.Address.ToByteArray()));
            Assert.Equal(2, asked.Select(request => request.Stream).Distinct().Count());
            Assert.Equal(2, asked.Count);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static Socket ServerIn(FileDescriptor space)
    {
        Socket? socket = null;
        NetworkNamespaces.Run(space, () =>
        {
            Loopback.BringUp();
            socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        });
        socket!.Bind(new IPEndPoint(IPAddress.Loopback, 53));
        return socket;
    }

    private static Spec With(string? source) =>
        Spec.Parse(System.Text.Encoding.UTF8.GetBytes($$"""
            {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"cwd": "/", "args": ["true"]},
             "mounts": [{"destination": "/etc/resolv.conf", "type": "bind" {{(source is null ? "" : $", \"source\": \"{source}\"")}} }]}
            """));
}
