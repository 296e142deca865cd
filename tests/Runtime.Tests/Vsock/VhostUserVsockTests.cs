using System.Security.Cryptography;
using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Vsock;

/// <summary>The whole device with a driver played by the test, one for each fault of other vsock back ends.</summary>
public sealed class VhostUserVsockTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Streams_64_MiB_both_ways_at_once_unharmed(bool eventIndex)
    {
        await using var vsock = new VhostUserVsock();
        var data = RandomNumberGenerator.GetBytes(64 << 20);
        var (sourceRead, sourceWrite) = Files.Pipe();
        var (sinkRead, sinkWrite) = Files.Pipe();
        var channel = vsock.Open(0, sourceRead, sinkWrite);
        var feeding = Task.Run(() => Feed(sourceWrite, data));
        var draining = Task.Run(() => ReadToEnd(sinkRead));
        using var guest = new FakeGuest(vsock.FrontEnd, eventIndex);
        var stream = new FakeStream(guest, 77, channel.Port);
        stream.Connect();
        var downloaded = new byte[data.Length];
        var (up, over) = (0, false);
        while (up < data.Length || !over)
        {
            // 64 KiB in four descriptors, as Linux sends large writes.
            if (up < data.Length && stream.Credit >= 65_536)
            {
                stream.Send(data.AsSpan(up, 65_536), pieces: 4);
                up += 65_536;
                if (guest.TryReceive() is { } early)
                    Take(early);
            }
            else
            {
                Take(guest.Receive());
            }
        }

        // The close comes right behind the last byte: nothing of the tail may be lost.
        guest.Send(stream.Header(Operation.Shutdown, flags: (uint)ShutdownFlags.Both));
        Assert.Equal(SHA256.HashData(data), SHA256.HashData(await draining.WaitAsync(Patience)));
        Assert.Equal(SHA256.HashData(data), SHA256.HashData(downloaded));
        await channel.Finished.WaitAsync(Patience);
        await feeding;

        void Take((PacketHeader Header, byte[] Payload) packet)
        {
            packet.Payload.CopyTo(downloaded, (int)stream.Received);
            stream.Learn(packet.Header);
            over |= packet.Header is { Operation: Operation.Shutdown, Flags: (uint)ShutdownFlags.Send };
        }
    }

    [Fact]
    public async Task A_regular_file_as_source_arrives_with_its_end()
    {
        var path = Path.GetTempFileName();
        await File.WriteAllBytesAsync(path, [1, 2, 3]);
        await using var vsock = new VhostUserVsock();
        var channel = vsock.Open(0, Files.Open(path, Files.ReadOnly), null);
        File.Delete(path);
        using var guest = new FakeGuest(vsock.FrontEnd);
        new FakeStream(guest, 9, channel.Port).Connect();
        Assert.Equal([1, 2, 3], guest.Receive().Payload);
        Assert.Equal(Operation.Shutdown, guest.Receive().Header.Operation);
    }

    [Fact]
    public async Task Port_without_listener_is_reset_and_an_open_one_works_once()
    {
        await using var vsock = new VhostUserVsock();
        var channel = vsock.Open(1024, null, null);
        using var guest = new FakeGuest(vsock.FrontEnd);
        guest.Send(new FakeStream(guest, 5, 1025).Header(Operation.Request));
        var (header, _) = guest.Receive();
        Assert.Equal((Operation.Reset, 1025u, 5u), (header.Operation, header.SourcePort, header.DestinationPort));
        Assert.False(channel.Connected.IsCompleted);
        new FakeStream(guest, 6, 1024).Connect();
        await channel.Connected.WaitAsync(Patience);
        guest.Send(new FakeStream(guest, 7, 1024).Header(Operation.Request));
        Assert.Equal(Operation.Reset, guest.Receive().Header.Operation);
        Assert.False(channel.Finished.IsCompleted);
        channel.Abort();
        await channel.Finished.WaitAsync(Patience);
        Assert.Equal((Operation.Reset, 6u), (guest.Receive().Header is var h ? (h.Operation, h.DestinationPort) : default));
    }

    [Fact]
    public async Task Stalled_sink_stalls_only_itself_and_gets_everything_later()
    {
        await using var vsock = new VhostUserVsock();
        var (stalledRead, stalledWrite) = Files.Pipe();
        var (otherRead, otherWrite) = Files.Pipe();
        var stalledChannel = vsock.Open(1, null, stalledWrite);
        vsock.Open(2, null, otherWrite);
        using var guest = new FakeGuest(vsock.FrontEnd);
        var stalled = new FakeStream(guest, 11, 1);
        var other = new FakeStream(guest, 12, 2);
        stalled.Connect();
        other.Connect();
        var block = RandomNumberGenerator.GetBytes(65_536);
        for (var i = 0; i < 4; i++)
            stalled.Send(block);
        other.Send("alive"u8);
        var alive = new byte[5];
        Assert.Equal(5, Files.TryRead(otherRead, alive));
        Assert.Equal("alive"u8, alive);
        // Gone before anything was read: the tail is still delivered.
        guest.Send(stalled.Header(Operation.Shutdown, flags: (uint)ShutdownFlags.Both));
        Assert.Equal(Enumerable.Repeat(block, 4).SelectMany(b => b), ReadToEnd(stalledRead));
        await stalledChannel.Finished.WaitAsync(Patience);
    }

    [Fact]
    public async Task Sink_without_reader_tells_the_guest_to_stop_writing()
    {
        await using var vsock = new VhostUserVsock();
        var (read, write) = Files.Pipe();
        var channel = vsock.Open(1, null, write);
        using var guest = new FakeGuest(vsock.FrontEnd);
        var stream = new FakeStream(guest, 11, 1);
        stream.Connect();
        read.Dispose();
        stream.Send("lost"u8);
        var (header, _) = guest.Receive();
        Assert.Equal((Operation.Shutdown, (uint)ShutdownFlags.Receive), (header.Operation, header.Flags));
        guest.Send(stream.Header(Operation.Shutdown, flags: (uint)ShutdownFlags.Both));
        await channel.Finished.WaitAsync(Patience);
    }

    [Fact]
    public async Task Socket_is_joined_in_both_directions_and_sees_the_guests_half_close()
    {
        await using var vsock = new VhostUserVsock();
        var (ours, theirs) = UnixSockets.Pair();
        var channel = vsock.Open(1024, theirs, theirs);
        using var guest = new FakeGuest(vsock.FrontEnd);
        var stream = new FakeStream(guest, 11, 1024);
        stream.Connect();
        Assert.Equal(4, UnixSockets.TrySend(ours, "ping"u8));
        Assert.Equal("ping"u8.ToArray(), guest.Receive().Payload);
        stream.Send("pong"u8);
        guest.Send(stream.Header(Operation.Shutdown, flags: (uint)ShutdownFlags.Send));
        Assert.Equal("pong"u8.ToArray(), ReadToEnd(ours.Duplicate()));
        await channel.Finished.WaitAsync(Patience);
        // The other direction goes on until the host is done too.
        Assert.Equal(4, UnixSockets.TrySend(ours, "last"u8));
        Assert.Equal("last"u8.ToArray(), guest.Receive().Payload);
        ours.Dispose();
        var (header, _) = guest.Receive();
        Assert.Equal((Operation.Shutdown, (uint)ShutdownFlags.Send), (header.Operation, header.Flags));
    }

    [Fact]
    public async Task Closing_a_source_delivers_what_it_holds_first()
    {
        await using var vsock = new VhostUserVsock();
        var (read, write) = Files.Pipe();
        var channel = vsock.Open(1, read, null);
        Files.TryWrite(write, "input"u8);
        channel.CloseSource();
        using var guest = new FakeGuest(vsock.FrontEnd);
        new FakeStream(guest, 11, 1).Connect();
        Assert.Equal("input"u8.ToArray(), guest.Receive().Payload);
        Assert.Equal(Operation.Shutdown, guest.Receive().Header.Operation);
    }

    [Fact]
    public async Task Reset_of_the_guest_ends_its_connections_and_a_new_memory_table_does_not()
    {
        await using var vsock = new VhostUserVsock();
        var (read, write) = Files.Pipe();
        var channel = vsock.Open(1, null, write);
        using var guest = new FakeGuest(vsock.FrontEnd);
        var stream = new FakeStream(guest, 11, 1);
        stream.Connect();
        guest.SetMemoryTable();
        stream.Send("before"u8);
        guest.Reset();
        await channel.Finished.WaitAsync(Patience);
        Assert.Equal("before"u8.ToArray(), ReadToEnd(read));
    }

    [Fact]
    public async Task Broken_ring_ends_the_device_and_says_so()
    {
        var reason = new TaskCompletionSource<string>();
        await using var vsock = new VhostUserVsock(report: reason.SetResult);
        var (read, write) = Files.Pipe();
        var channel = vsock.Open(1, null, write);
        var idle = vsock.Open(2, null, null);
        using var guest = new FakeGuest(vsock.FrontEnd);
        new FakeStream(guest, 11, 1).Connect();
        guest.Offer(1, 0, jump: 100);
        guest.Kick(1);
        Assert.Contains("available index jumped by 100", await reason.Task.WaitAsync(Patience), StringComparison.Ordinal);
        await Task.WhenAll(channel.Finished, idle.Finished, vsock.Open(0, null, null).Finished).WaitAsync(Patience);
        Assert.Empty(ReadToEnd(read));
    }

    [Fact]
    public async Task Shared_pipe_keeps_its_blocking_mode()
    {
        var (read, write) = Files.Pipe();
        using var shared = write.Duplicate();
        await using (var vsock = new VhostUserVsock())
        {
            vsock.Open(0, null, write);
            var flags = File.ReadAllLines($"/proc/self/fdinfo/{shared.Number}").Single(line => line.StartsWith("flags:", StringComparison.Ordinal));
            Assert.Equal(0, Convert.ToInt32(flags[6..].Trim(), 8) & Files.NonBlocking);
        }

        read.Dispose();
    }

    private static void Feed(FileDescriptor pipe, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
            data = data[(int)Files.TryWrite(pipe, data)..];
        pipe.Dispose();
    }

    internal static byte[] ReadToEnd(FileDescriptor descriptor)
    {
        using (descriptor)
        using (var all = new MemoryStream())
        {
            var buffer = new byte[65_536];
            for (nint count; (count = Files.TryRead(descriptor, buffer)) > 0;)
                all.Write(buffer, 0, (int)count);
            return all.ToArray();
        }
    }
}

/// <summary>The relay of the kernel's device, over a socket pair in the place of AF_VSOCK.</summary>
public sealed class SocketRelayTests
{
    [Fact]
    public async Task Relay_moves_both_directions_and_finishes_after_the_last_byte()
    {
        var (guest, host) = UnixSockets.Pair();
        var (sourceRead, sourceWrite) = Files.Pipe();
        var (sinkRead, sinkWrite) = Files.Pipe();
        var channel = new VsockChannel(1, () => { }, () => { });
        var relay = new SocketRelay(host, sourceRead, sinkWrite, channel);
        Files.TryWrite(sourceWrite, "to the guest"u8);
        relay.CloseSource();
        Assert.Equal("to the guest"u8.ToArray(), VhostUserVsockTests.ReadToEnd(guest.Duplicate()));
        var data = RandomNumberGenerator.GetBytes(1 << 20);
        var reading = Task.Run(() => VhostUserVsockTests.ReadToEnd(sinkRead));
        for (var rest = data.AsMemory(); !rest.IsEmpty;)
            rest = rest[(int)UnixSockets.TrySend(guest, rest.Span, wait: true)..];
        guest.Dispose();
        Assert.Equal(data, await reading.WaitAsync(TimeSpan.FromSeconds(30)));
        await channel.Finished.WaitAsync(TimeSpan.FromSeconds(30));
        sourceWrite.Dispose();
    }

    [Fact]
    public async Task Abort_ends_a_relay_whose_descriptors_are_silent()
    {
        var (guest, host) = UnixSockets.Pair();
        var (sourceRead, sourceWrite) = Files.Pipe();
        var channel = new VsockChannel(1, () => { }, () => { });
        new SocketRelay(host, sourceRead, null, channel).Abort();
        await channel.Finished.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Empty(VhostUserVsockTests.ReadToEnd(guest));
        sourceWrite.Dispose();
    }
}
