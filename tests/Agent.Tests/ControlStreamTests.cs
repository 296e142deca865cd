using System.Security.Cryptography;
using KataLike.Agent.Streams;
using KataLike.Linux;

namespace KataLike.Agent.Tests;

public sealed class ControlStreamTests : IDisposable
{
    private readonly EventLoop _loop = new();
    private readonly Thread _thread;

    public ControlStreamTests()
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
    public async Task Both_ways_carry_more_than_the_kernel_buffers()
    {
        var (left, right) = UnixSockets.Pair();
        await using var first = new ControlStream(_loop, left);
        await using var second = new ControlStream(_loop, right);
        var data = RandomNumberGenerator.GetBytes(2 << 20);
        var sent = Task.WhenAll(first.WriteAsync(data).AsTask(), second.WriteAsync(data).AsTask());
        Assert.Equal(data, await ReadAsync(first, data.Length));
        Assert.Equal(data, await ReadAsync(second, data.Length));
        await sent;
    }

    [Fact]
    public async Task The_peers_end_is_an_end()
    {
        var (left, right) = UnixSockets.Pair();
        await using var stream = new ControlStream(_loop, left);
        var reading = stream.ReadAsync(new byte[1]).AsTask();
        Assert.False(reading.IsCompleted);
        right.Dispose();
        Assert.Equal(0, await reading);
        await Assert.ThrowsAsync<LinuxException>(async () => await stream.WriteAsync(new byte[1]));
    }

    private static async Task<byte[]> ReadAsync(ControlStream stream, int length)
    {
        var data = new byte[length];
        for (var read = 0; read < length;)
        {
            read += await stream.ReadAsync(data.AsMemory(read));
        }
        return data;
    }
}
