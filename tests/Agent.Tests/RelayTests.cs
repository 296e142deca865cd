using System.Security.Cryptography;
using KataLike.Agent.Streams;
using KataLike.Linux;

namespace KataLike.Agent.Tests;

public sealed class RelayTests : IDisposable
{
    private readonly EventLoop _loop = new();
    private readonly Thread _thread;

    public RelayTests()
    {
        _thread = new Thread(_loop.Run);
        _thread.Start();
    }

    public void Dispose()
    {
        _loop.Stop();
        _thread.Join();
        _loop.Dispose();
    }

    [Fact]
    public async Task All_bytes_pass_and_then_the_end()
    {
        var (source, feed) = Files.Pipe();
        var (sink, host) = UnixSockets.Pair();
        var relay = new Relay(_loop, source, sink);
        var data = RandomNumberGenerator.GetBytes(3 << 20);

        var writing = Task.Run(() =>
        {
            WriteAll(feed, data);
            feed.Dispose();
        });
        Assert.Equal(data, ReadAll(host));
        await writing;
        await relay.Ended;
    }

    [Fact]
    public async Task A_sink_that_stalls_holds_back_its_source_and_no_other()
    {
        var (stalledSource, stalledFeed) = Files.Pipe();
        var (stalledSink, stalledHost) = UnixSockets.Pair();
        var stalled = new Relay(_loop, stalledSource, stalledSink);
        Splicing.SetNonBlocking(stalledFeed);
        var chunk = new byte[65536];
        while (Files.TryWrite(stalledFeed, chunk) > 0 || await MovesOn(stalled))
        {
        }

        await All_bytes_pass_and_then_the_end();
        Assert.False(stalled.Ended.IsCompleted);
        stalledFeed.Dispose();
        stalledHost.Dispose();
        await stalled.Ended;

        async Task<bool> MovesOn(Relay relay)
        {
            // A turn of the loop: what can move has moved after it.
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _loop.Post(turn.SetResult);
            await turn.Task;
            return Files.TryWrite(stalledFeed, chunk) > 0;
        }
    }

    [Fact]
    public async Task Empty_is_told_while_the_writer_is_still_there()
    {
        var (source, feed) = Files.Pipe();
        var (sink, host) = UnixSockets.Pair();
        var relay = new Relay(_loop, source, sink);
        Files.Write(feed, "tail"u8);

        await relay.EmptyAsync();
        Assert.False(relay.Ended.IsCompleted);
        var buffer = new byte[16];
        Assert.Equal(4, Files.Read(host, buffer));
        feed.Dispose();
        await relay.Ended;
        await relay.EmptyAsync();
        host.Dispose();
    }

    [Fact]
    public async Task A_pipe_that_nobody_reads_ends_its_socket()
    {
        var (source, host) = UnixSockets.Pair();
        var (reader, sink) = Files.Pipe();
        var relay = new Relay(_loop, source, sink);
        reader.Dispose();
        await relay.Ended;
        Assert.Empty(ReadAll(host));
    }

    [Fact]
    public async Task The_end_of_the_input_closes_the_pipe()
    {
        var (source, host) = UnixSockets.Pair();
        var (reader, sink) = Files.Pipe();
        var relay = new Relay(_loop, source, sink);
        Files.Write(host, "input"u8);
        UnixSockets.ShutDown(host, writing: true);
        Assert.Equal("input"u8.ToArray(), ReadAll(reader));
        await relay.Ended;
        host.Dispose();
    }

    private static void WriteAll(FileDescriptor target, ReadOnlySpan<byte> data)
    {
        while (data.Length > 0)
        {
            data = data[Files.Write(target, data)..];
        }
    }

    private static byte[] ReadAll(FileDescriptor source)
    {
        using var all = new MemoryStream();
        var buffer = new byte[65536];
        for (int count; (count = Files.Read(source, buffer)) > 0;)
        {
            all.Write(buffer, 0, count);
        }
        source.Dispose();
        return all.ToArray();
    }
}
