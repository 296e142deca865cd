using System.Net.Sockets;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Tests.Ttrpc;

/// <summary>Client and server against each other.</summary>
public sealed class CallTests
{
    private const string Echo = "test.Echo";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static TtrpcService EchoService(TaskCompletionSource? gate = null, TaskCompletionSource? cancelled = null) =>
        new TtrpcService(Echo)
            .Method("Say", StringValue.Parser, (request, _) => Task.FromResult(request))
            .Method("Metadata", StringValue.Parser, (request, context) =>
                Task.FromResult(new StringValue { Value = context.Metadata(request.Value) ?? "" }))
            .Method("Refuse", StringValue.Parser, Task<StringValue> (request, _) =>
                throw new TtrpcException(StatusCode.NotFound, $"container {request.Value} does not exist"))
            .Method("Fail", StringValue.Parser, Task<StringValue> (_, _) => throw new InvalidOperationException("broken"))
            .Method("Inflate", Int32Value.Parser, (request, _) =>
                Task.FromResult(new BytesValue { Value = ByteString.CopyFrom(new byte[request.Value]) }))
            .Method("Wait", StringValue.Parser, async (request, context) =>
            {
                try
                {
                    await gate!.Task.WaitAsync(context.CancellationToken);
                    return request;
                }
                catch (OperationCanceledException)
                {
                    _ = cancelled?.TrySetResult();
                    throw;
                }
            });

    private static Task<StringValue> Say(TtrpcClient client, string method, string text, TtrpcCallOptions? options = null) =>
        client.CallAsync(Echo, method, new StringValue { Value = text }, StringValue.Parser, options);

    private static (TtrpcClient Client, Task<string> Served) Connect(params ReadOnlySpan<TtrpcService> services) =>
        Connect(new TtrpcServer(services));

    private static (TtrpcClient Client, Task<string> Served) Connect(TtrpcServer server)
    {
        var (left, right) = SocketPair.Create();
        var served = server.ServeAsync(new SocketStream(right));
        return (new TtrpcClient(new SocketStream(left)), served);
    }

    [Fact]
    public async Task ManyCallsAtOnceGetTheirOwnAnswers()
    {
        // By default a server refuses what is beyond 1024, which a busy one may have under way here.
        const int calls = 2000;
        var (client, served) = Connect(new TtrpcServer(EchoService()) { MaxConcurrentCalls = calls });
        await using (client)
        {
            var answers = await Task.WhenAll(Enumerable.Range(0, calls).Select(i => Task.Run(() => Say(client, "Say", $"call {i}"))));
            Assert.Equal(Enumerable.Range(0, calls).Select(i => $"call {i}"), answers.Select(answer => answer.Value));
        }
        Assert.Equal("closed", await client.Closed);
        Assert.Equal("closed by the peer", await served.WaitAsync(Patience));
    }

    [Fact]
    public async Task WaitingCallHoldsUpNoOther()
    {
        var gate = new TaskCompletionSource();
        var (client, _) = Connect(EchoService(gate));
        await using (client)
        {
            var waiting = Say(client, "Wait", "done");
            Assert.Equal("quick", (await Say(client, "Say", "quick")).Value);
            Assert.False(waiting.IsCompleted);
            gate.SetResult();
            Assert.Equal("done", (await waiting).Value);
        }
    }

    [Fact]
    public async Task MetadataReachesTheHandler()
    {
        var (client, _) = Connect(EchoService());
        await using (client)
        {
            var options = new TtrpcCallOptions { Metadata = new Dictionary<string, string> { ["namespace"] = "k8s.io" } };
            Assert.Equal("k8s.io", (await Say(client, "Metadata", "namespace", options)).Value);
            Assert.Equal("", (await Say(client, "Metadata", "other", options)).Value);
        }
    }

    [Theory]
    [InlineData(Echo, "Refuse", StatusCode.NotFound, "container c1 does not exist")]
    [InlineData(Echo, "Fail", StatusCode.Unknown, "broken")]
    [InlineData(Echo, "Nothing", StatusCode.Unimplemented, "method Nothing")]
    [InlineData("test.Nothing", "Say", StatusCode.Unimplemented, "service test.Nothing")]
    public async Task RefusalsCarryCodeAndMessage(string service, string method, StatusCode code, string message)
    {
        var (client, _) = Connect(EchoService());
        await using (client)
        {
            var error = await Assert.ThrowsAsync<TtrpcException>(() =>
                client.CallAsync(service, method, new StringValue { Value = "c1" }, StringValue.Parser));
            Assert.Equal((code, message), (error.Code, error.Message));
            Assert.Equal("still alive", (await Say(client, "Say", "still alive")).Value);
        }
    }

    [Fact]
    public async Task CancelledCallIsForgottenAndItsLateAnswerDropped()
    {
        var gate = new TaskCompletionSource();
        var (client, _) = Connect(EchoService(gate));
        await using (client)
        {
            using var cancel = new CancellationTokenSource();
            var waiting = client.CallAsync(Echo, "Wait", new StringValue(), StringValue.Parser, cancel.Token);
            await cancel.CancelAsync();
            _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);

            var next = Say(client, "Wait", "next");
            gate.SetResult();
            Assert.Equal("next", (await next).Value);
            Assert.False(client.Closed.IsCompleted);
        }
    }

    [Fact]
    public async Task ClientStopsWaitingAfterItsTimeout()
    {
        var (client, _) = Connect(EchoService(new TaskCompletionSource()));
        await using (client)
        {
            var options = new TtrpcCallOptions { Timeout = TimeSpan.FromMilliseconds(1) };
            var error = await Assert.ThrowsAsync<TtrpcException>(() => Say(client, "Wait", "", options));
            Assert.Equal(StatusCode.DeadlineExceeded, error.Code);
            Assert.StartsWith("test.Echo/Wait: ", error.Message);
            Assert.Equal("after", (await Say(client, "Say", "after")).Value);
        }
    }

    [Fact]
    public async Task HandlerIsCancelledWhenTheClientsTimeoutHasPassed()
    {
        var (peer, right) = SocketPair.Create();
        var served = new TtrpcServer(EchoService(new TaskCompletionSource())).ServeAsync(new SocketStream(right));
        using (peer)
        {
            var request = new Request { Service = Echo, Method = "Wait", TimeoutNano = 1_000_000 };
            _ = await peer.SendAsync(SocketPair.Frame(1, 1, 0, request.ToByteArray()));
            Assert.Equal((int)StatusCode.DeadlineExceeded, (await peer.ReadResponseAsync()).Response.Status.Code);
        }
        _ = await served.WaitAsync(Patience);
    }

    [Fact]
    public async Task MessagesUpToTheLimitPassAndLargerOnesAreRefusedOnEitherSide()
    {
        var (client, _) = Connect(EchoService());
        await using (client)
        {
            // The envelope around 4 MiB of data takes some bytes.
            var large = await client.CallAsync(
                Echo, "Inflate", new Int32Value { Value = (4 << 20) - 20 }, BytesValue.Parser);
            Assert.Equal((4 << 20) - 20, large.Value.Length);

            var answer = await Assert.ThrowsAsync<TtrpcException>(() =>
                client.CallAsync(Echo, "Inflate", new Int32Value { Value = 5 << 20 }, BytesValue.Parser));
            Assert.Equal(StatusCode.ResourceExhausted, answer.Code);
            var request = await Assert.ThrowsAsync<TtrpcException>(() => Say(client, "Say", new string('x', 5 << 20)));
            Assert.Equal(StatusCode.ResourceExhausted, request.Code);
            Assert.Equal("still alive", (await Say(client, "Say", "still alive")).Value);
        }
    }

    [Fact]
    public async Task DisconnectFailsEveryPendingCallWithTheReason()
    {
        var gate = new TaskCompletionSource();
        var cancelled = new TaskCompletionSource();
        var (left, right) = SocketPair.Create();
        using var stop = new CancellationTokenSource();
        var served = new TtrpcServer(EchoService(gate, cancelled)).ServeAsync(new SocketStream(right), stop.Token);
        await using var client = new TtrpcClient(new SocketStream(left));
        var pending = Enumerable.Range(0, 50).Select(_ => Say(client, "Wait", "")).ToArray();
        _ = await Say(client, "Say", "all of them have arrived");

        await stop.CancelAsync();

        Assert.Equal("stopped", await served.WaitAsync(Patience));
        await cancelled.Task.WaitAsync(Patience);
        Assert.Equal("closed by the peer", await client.Closed.WaitAsync(Patience));
        foreach (var call in pending)
            Assert.Equal("closed by the peer", (await Assert.ThrowsAsync<TtrpcDisconnectedException>(() => call)).Reason);
        var late = await Assert.ThrowsAsync<TtrpcDisconnectedException>(() => Say(client, "Say", ""));
        Assert.Equal("ttrpc connection ended: closed by the peer", late.Message);
    }

    [Fact]
    public async Task ListenerServesManyConnectionsUntilItIsStopped()
    {
        string path = Path.Combine(Path.GetTempPath(), $"ttrpc-{Guid.NewGuid():N}.sock");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        using var stop = new CancellationTokenSource();
        var listening = new TtrpcServer(EchoService()).ListenAsync(listener, stop.Token);

        var clients = new List<TtrpcClient>();
        for (int i = 0; i < 10; i++)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
            clients.Add(new TtrpcClient(new SocketStream(socket)));
            Assert.Equal($"{i}", (await Say(clients[i], "Say", $"{i}")).Value);
        }
        await stop.CancelAsync();
        await listening.WaitAsync(Patience);
        File.Delete(path);
        foreach (var client in clients)
            Assert.Equal("closed by the peer", await client.Closed.WaitAsync(Patience));
    }

    [Fact]
    public async Task HandlerLearnsThatItsAnswerIsOut()
    {
        var sent = new TaskCompletionSource<Task>();
        var service = new TtrpcService(Echo).Method("Shutdown", StringValue.Parser, (request, context) =>
        {
            sent.SetResult(context.AnswerSent);
            return Task.FromResult(request);
        });
        var (client, _) = Connect(service);
        await using (client)
        {
            Assert.Equal("bye", (await Say(client, "Shutdown", "bye")).Value);
            await (await sent.Task).WaitAsync(Patience);
        }
    }
}
