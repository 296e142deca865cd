using System.Net.Sockets;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Ttrpc;
using static KataLike.Contract.Tests.Ttrpc.SocketPair;

namespace KataLike.Contract.Tests.Ttrpc;

/// <summary>A peer that breaks the protocol, on either side.</summary>
public sealed class MisbehaviourTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly byte[] SayHi = new Request
    {
        Service = "test.Echo",
        Method = "Say",
        Payload = new StringValue { Value = "hi" }.ToByteString(),
    }.ToByteArray();

    private static (Socket Peer, Task<string> Served) Serve(int maxCalls = 1024, Task? gate = null)
    {
        var (left, right) = Create();
        var service = new TtrpcService("test.Echo").Method("Say", StringValue.Parser, async (request, _) =>
        {
            await (gate ?? Task.CompletedTask);
            return request;
        });
        var server = new TtrpcServer(service) { MaxConcurrentCalls = maxCalls };
        return (left, server.ServeAsync(new SocketStream(right)));
    }

    private static async Task AssertRefused(byte[] frame, uint streamId, StatusCode code, string message)
    {
        var (peer, served) = Serve();
        using (peer)
        {
            _ = await peer.SendAsync(frame);
            var (id, response) = await peer.ReadResponseAsync();
            Assert.Equal((streamId, (int)code, message), (id, response.Status.Code, response.Status.Message));

            _ = await peer.SendAsync(Frame(101, 1, 0, SayHi));
            Assert.Null((await peer.ReadResponseAsync()).Response.Status);
        }
        Assert.Equal("closed by the peer", await served.WaitAsync(Patience));
    }

    [Fact]
    public Task EvenStreamIsRefused() => AssertRefused(
        Frame(2, 1, 0, SayHi), 2, StatusCode.InvalidArgument, "StreamID must be odd for client initiated streams");

    [Fact]
    public Task StreamingIsRefused() => AssertRefused(
        Frame(1, 1, 2, SayHi), 1, StatusCode.Unimplemented, "streaming is not supported: unary calls only");

    [Fact]
    public Task DataIsRefused() => AssertRefused(
        Frame(1, 3, 0, 1, 2, 3), 1, StatusCode.InvalidArgument, "StreamID is no longer active");

    [Fact]
    public Task BrokenEnvelopeIsRefused() => AssertRefused(
        Frame(1, 1, 0, 0x0a, 0xff), 1, StatusCode.InvalidArgument,
        "unmarshal request error: " + Assert.Throws<InvalidProtocolBufferException>(
            () => Request.Parser.ParseFrom([0x0a, 0xff])).Message);

    [Fact]
    public Task BrokenPayloadIsRefused() => AssertRefused(
        Frame(1, 1, 0, new Request { Service = "test.Echo", Method = "Say", Payload = ByteString.CopyFrom(0x0a, 0xff) }.ToByteArray()),
        1, StatusCode.InvalidArgument,
        "ttrpc: error unmarshalling payload: " + Assert.Throws<InvalidProtocolBufferException>(
            () => StringValue.Parser.ParseFrom([0x0a, 0xff])).Message);

    [Fact]
    public async Task StreamIdCannotGoBackwards()
    {
        var (peer, _) = Serve();
        using (peer)
        {
            _ = await peer.SendAsync(Frame(5, 1, 0, SayHi));
            Assert.Null((await peer.ReadResponseAsync()).Response.Status);
            _ = await peer.SendAsync(Frame(5, 1, 0, SayHi));
            Assert.Equal("StreamID cannot be re-used and must increment", (await peer.ReadResponseAsync()).Response.Status.Message);
        }
    }

    [Fact]
    public async Task UnknownFrameTypeIsSkipped()
    {
        var (peer, _) = Serve();
        using (peer)
        {
            byte[] bytes = [.. Frame(1, 9, 0, 1, 2, 3), .. Frame(3, 1, 0, SayHi)];
            _ = await peer.SendAsync(bytes);
            Assert.Equal(3u, (await peer.ReadResponseAsync()).StreamId);
        }
    }

    [Fact]
    public async Task OversizedFrameEndsTheConnection()
    {
        var (peer, served) = Serve();
        using (peer)
        {
            _ = await peer.SendAsync(new byte[] { 0x01, 0, 0, 0, 0, 0, 0, 1, 1, 0 });
            Assert.Equal("malformed: frame of 16777216 bytes exceeds the limit of 4194304", await served.WaitAsync(Patience));
            Assert.Equal(0, await peer.ReceiveAsync(new byte[1]));
        }
    }

    [Fact]
    public async Task EndWithinAFrameIsTold()
    {
        var (peer, served) = Serve();
        using (peer)
            _ = await peer.SendAsync(Frame(1, 1, 0, SayHi).AsMemory(0, 15));
        Assert.Equal("closed by the peer within a frame", await served.WaitAsync(Patience));
    }

    [Fact]
    public async Task BytesMayComeOneAtATime()
    {
        var (peer, _) = Serve();
        using (peer)
        {
            foreach (byte value in Frame(1, 1, 0, SayHi))
                _ = await peer.SendAsync(new[] { value });
            Assert.Equal("hi", StringValue.Parser.ParseFrom((await peer.ReadResponseAsync()).Response.Payload).Value);
        }
    }

    [Fact]
    public async Task CallsBeyondTheLimitAreRefusedUntilOneHasEnded()
    {
        var gate = new TaskCompletionSource();
        var (peer, _) = Serve(maxCalls: 2, gate.Task);
        using (peer)
        {
            for (uint id = 1; id <= 5; id += 2)
                _ = await peer.SendAsync(Frame(id, 1, 0, SayHi));
            var (refused, response) = await peer.ReadResponseAsync();
            Assert.Equal((5u, (int)StatusCode.ResourceExhausted), (refused, response.Status.Code));

            gate.SetResult();
            var answered = new[] { (await peer.ReadResponseAsync()).StreamId, (await peer.ReadResponseAsync()).StreamId };
            Assert.Equal([1u, 3u], answered.Order());
        }
    }

    [Theory]
    [InlineData(7, 2, "answer on stream 7, which was never begun")]
    [InlineData(2, 2, "answer on stream 2, which was never begun")]
    [InlineData(1, 3, "data frame on stream 1, which is unary")]
    public async Task ClientEndsOnAnAnswerThatNobodyAskedFor(uint streamId, byte type, string reason)
    {
        var (peer, own) = Create();
        using (peer)
        await using (var client = new TtrpcClient(new SocketStream(own)))
        {
            var call = client.CallAsync("test.Echo", "Say", new StringValue(), StringValue.Parser);
            _ = await peer.ReadExactlyAsync(1);
            _ = await peer.SendAsync(Frame(streamId, type, 0));
            Assert.Equal($"malformed: {reason}", (await Assert.ThrowsAsync<TtrpcDisconnectedException>(() => call)).Reason);
        }
    }

    [Fact]
    public async Task ClientTellsAMalformedAnswer()
    {
        var (peer, own) = Create();
        using (peer)
        await using (var client = new TtrpcClient(new SocketStream(own)))
        {
            var call = client.CallAsync("test.Echo", "Say", new StringValue(), StringValue.Parser);
            _ = await peer.ReadExactlyAsync(1);
            _ = await peer.SendAsync(Frame(1, 2, 0, new Response { Payload = ByteString.CopyFrom(0x0a, 0xff) }.ToByteArray()));
            var error = await Assert.ThrowsAsync<TtrpcProtocolException>(() => call);
            Assert.StartsWith("test.Echo/Say: malformed answer: ", error.Message);
            Assert.False(client.Closed.IsCompleted);

            var next = client.CallAsync("test.Echo", "Say", new StringValue(), StringValue.Parser);
            _ = await peer.SendAsync(Frame(3, 2, 0, 0x0a, 0xff));
            _ = await Assert.ThrowsAnyAsync<IOException>(() => next);
            Assert.StartsWith("malformed: ", await client.Closed.WaitAsync(Patience));
        }
    }

    [Fact]
    public async Task RefusalsOfThePeerCannotReachATerminal()
    {
        var service = new TtrpcService("test.Echo").Method("Say", StringValue.Parser, Task<StringValue> (request, _) =>
            throw new TtrpcException(StatusCode.Aborted, request.Value));
        var (left, right) = Create();
        _ = new TtrpcServer(service).ServeAsync(new SocketStream(right));
        await using var client = new TtrpcClient(new SocketStream(left));
        var request = new StringValue { Value = "\e[31mred\n" + new string('x', 100_000) };
        var error = await Assert.ThrowsAsync<TtrpcException>(
            () => client.CallAsync("test.Echo", "Say", request, StringValue.Parser));
        Assert.StartsWith(" [31mred xxx", error.Message);
        Assert.InRange(error.Message.Length, 100, 2000);
    }

    /// <summary>Random and mutated streams of bytes: the server ends each connection with a reason, and nothing else happens.</summary>
    [Fact]
    public async Task ServerSurvivesAnyBytes()
    {
        var random = new Random(2);
        byte[] valid = [.. Frame(1, 1, 0, SayHi), .. Frame(3, 1, 0, SayHi), .. Convert.FromHexString(FrameTests.StateCall)];
        for (int round = 0; round < 500; round++)
        {
            byte[] bytes = [.. valid];
            for (int i = random.Next(1, 8); i > 0; i--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            if (round % 5 == 0)
                random.NextBytes(bytes);
            var (peer, served) = Serve();
            using (peer)
            {
                try
                {
                    _ = await peer.SendAsync(bytes);
                    peer.Shutdown(SocketShutdown.Send);
                }
                catch (SocketException)
                {
                    // The server has hung up before all was sent.
                }
                string reason = await served.WaitAsync(Patience);
                Assert.Matches("^(closed by the peer|malformed: |write failed: )", reason);
            }
        }
    }
}
