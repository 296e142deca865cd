using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Vsock;

public sealed class PacketTests
{
    /// <summary>A connection request as Linux 6.12 sends it: cid 3 port 0x8a3c1f22 to host port 1024, 256 KiB of buffer.</summary>
    private const string Recorded =
        "0300000000000000" + "0200000000000000" + "221f3c8a" + "00040000" + "00000000" + "0100" + "0100" + "00000000" +
        "00000400" + "00000000";

    [Fact]
    public void Header_is_read_and_written_as_Linux_has_it()
    {
        var bytes = Convert.FromHexString(Recorded);
        var header = PacketHeader.Read(bytes);
        Assert.Equal(
            new PacketHeader(3, 2, 0x8a3c1f22, 1024, 0, PacketHeader.StreamType, Operation.Request, 0, 0x40000, 0), header);
        var written = new byte[PacketHeader.Size];
        header.Write(written);
        Assert.Equal(bytes, written);
    }

    [Fact]
    public void Credit_survives_the_wrap_of_its_counters()
    {
        var connection = new Connection(1, 2);
        connection.LearnCredit(Packet(Operation.Request));
        Assert.True(connection.TryTakeControl(3, out var response) && response.Operation == Operation.Response);
        uint sent = 0;
        // More than 2^32 bytes in each direction.
        for (var i = 0; i < 70_000; i++)
        {
            Assert.Equal(65_536u, connection.Credit);
            connection.TakeData(3, 65_536);
            Assert.Equal(0u, connection.Credit);
            sent += 65_536;
            connection.LearnCredit(Packet(Operation.CreditUpdate) with { ForwardCount = sent });
            Assert.True(connection.TryReceive(65_536));
            connection.Forward(65_536);
        }

        Assert.Equal(0u, connection.Held);
        // A guest that claims to have consumed what was never sent gets nothing.
        connection.LearnCredit(Packet(Operation.CreditUpdate) with { ForwardCount = sent + 1 });
        Assert.Equal(0u, connection.Credit);
    }

    [Fact]
    public void Guest_beyond_its_credit_is_refused_and_told_when_space_is_back()
    {
        var connection = new Connection(1, 2);
        connection.TryTakeControl(3, out _);
        Assert.True(connection.TryReceive(Connection.BufferSize));
        Assert.False(connection.TryReceive(1));
        connection.Forward(1000);
        Assert.False(connection.HasControl);
        connection.Forward(Connection.BufferSize / 4);
        Assert.True(connection.TryTakeControl(3, out var update));
        Assert.Equal((Operation.CreditUpdate, 1000 + (Connection.BufferSize / 4)), (update.Operation, update.ForwardCount));
    }

    [Fact]
    public void Muxer_connects_an_open_port_once_and_resets_everything_else()
    {
        var muxer = new Muxer(3);
        muxer.Open(7);
        Assert.Equal(Effect.None, muxer.Receive(Packet(Operation.Request, host: 8), 0, out _));
        Assert.True(muxer.TryTakeControl(out var reset));
        Assert.Equal((Operation.Reset, 8u, 50u), (reset.Operation, reset.SourcePort, reset.DestinationPort));

        Assert.Equal(Effect.Connected, muxer.Receive(Packet(Operation.Request), 0, out _));
        Assert.True(muxer.TryTakeControl(out var response) && response.Operation == Operation.Response);
        // The port was for one connection; another guest port cannot join it.
        Assert.Equal(Effect.None, muxer.Receive(Packet(Operation.Request) with { SourcePort = 51 }, 0, out _));
        Assert.True(muxer.TryTakeControl(out reset));
        Assert.Equal((Operation.Reset, 51u), (reset.Operation, reset.DestinationPort));
        Assert.Equal(1, muxer.Connections);

        // Data of another cid, or longer than its chain, or after a shutdown.
        Assert.Equal(Effect.None, muxer.Receive(Packet(Operation.Data) with { SourceCid = 4 }, 0, out _));
        Assert.Equal(Effect.Ended, muxer.Receive(Packet(Operation.Data) with { Length = 5 }, 4, out _));
        Assert.True(muxer.TryTakeControl(out reset) && reset.Operation == Operation.Reset);
        Assert.Equal(0, muxer.Connections);
    }

    [Fact]
    public void Closing_guest_is_answered_with_a_reset_and_its_half_close_is_not()
    {
        var muxer = new Muxer(3);
        muxer.Open(7);
        muxer.Receive(Packet(Operation.Request), 0, out _);
        muxer.TryTakeControl(out _);
        var shutdown = Packet(Operation.Shutdown);
        Assert.Equal(Effect.Changed, muxer.Receive(shutdown with { Flags = (uint)ShutdownFlags.Send }, 0, out _));
        Assert.False(muxer.TryTakeControl(out _));
        Assert.Equal(Effect.Ended, muxer.Receive(shutdown with { Flags = (uint)ShutdownFlags.Receive }, 0, out _));
        Assert.True(muxer.TryTakeControl(out var reset) && reset.Operation == Operation.Reset);
    }

    [Fact]
    public void Flood_of_requests_is_bounded()
    {
        var muxer = new Muxer(3);
        for (uint i = 0; i < 100_000; i++)
            muxer.Receive(Packet(Operation.Request, host: i), 0, out _);
        var resets = 0;
        while (muxer.TryTakeControl(out _))
            resets++;
        Assert.Equal(Muxer.MaxResets, resets);
    }

    private static PacketHeader Packet(Operation operation, uint host = 7) =>
        new(3, 2, 50, host, 0, PacketHeader.StreamType, operation, 0, 65_536, 0);
}
