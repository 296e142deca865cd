using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Vsock;

/// <summary>Entry points for bytes that come from outside: none may throw anything but <see cref="VsockProtocolException"/>.</summary>
internal static unsafe class VsockFuzz
{
    /// <summary>Packet headers, one after another, at a muxer with a few open ports.</summary>
    public static void Packets(ReadOnlySpan<byte> bytes)
    {
        var muxer = new Muxer(3);
        for (uint port = 0; port < 4; port++)
            muxer.Open(port);
        for (; bytes.Length >= PacketHeader.Size; bytes = bytes[PacketHeader.Size..])
        {
            // Near enough to valid to get past the first checks: small ports, the right cids and type mostly.
            var raw = PacketHeader.Read(bytes);
            var header = raw with
            {
                SourceCid = bytes[0] == 0 ? raw.SourceCid : 3,
                DestinationCid = bytes[1] == 0 ? raw.DestinationCid : 2,
                SourcePort = raw.SourcePort % 2,
                DestinationPort = raw.DestinationPort % 8,
                Type = bytes[2] == 0 ? raw.Type : PacketHeader.StreamType,
                Operation = (Operation)((int)raw.Operation % 9),
            };
            var effect = muxer.Receive(header, 65_536, out var connection);
            if (effect == Effect.Data)
                Assert.InRange(connection!.Held, 0u, Connection.BufferSize);
            if ((bytes[3] & 1) == 0)
                muxer.TryTakeControl(out _);
            if ((bytes[3] & 2) == 0 && effect == Effect.Data)
                connection!.Forward(connection.Held);
            Assert.InRange(muxer.Connections, 0, 4);
        }
    }

    /// <summary>A ring's descriptor table and available ring, both as they come.</summary>
    public static void Chain(ReadOnlySpan<byte> bytes, GuestMemory memory, MappedMemory driver)
    {
        bytes[..Math.Min(bytes.Length, 128)].CopyTo(new Span<byte>(driver.Pointer, 128));
        bytes[Math.Min(bytes.Length, 128)..].CopyTo(new Span<byte>(driver.Pointer + 0x1000, 256));
        // Mostly plausible: flags in range, addresses near memory.
        for (var i = 0; i < 8; i++)
        {
            *(ulong*)(driver.Pointer + (i * 16)) &= 0x3f_ffff;
            *(uint*)(driver.Pointer + (i * 16) + 8) &= 0xffff;
            *(uint*)(driver.Pointer + (i * 16) + 12) &= 0x0009_0007;
        }

        ((ushort*)(driver.Pointer + 0x1000))[1] %= 10;
        try
        {
            var queue = new Virtqueue(
                "fuzz", memory, 8,
                new RingAddresses(0x7000_0000_0000, 0x7000_0000_1000, 0x7000_0000_2000), 0, true, true);
            while (queue.TryPeek())
            {
                var start = (nint)memory.AtGuestAddress(0x10_0000, 1 << 20);
                foreach (var vector in (IoVector[])[.. queue.Readable.Vectors, .. queue.Writable.Vectors])
                    Assert.True(vector.Base >= start && vector.Base + vector.Length <= start + (1 << 20));
                queue.Complete(0);
                queue.TakeInterrupt();
            }
        }
        catch (VsockProtocolException)
        {
            // Declared.
        }
    }

    /// <summary>A front end's byte stream; now and then a descriptor comes with it.</summary>
    public static void VhostUser(ReadOnlySpan<byte> bytes)
    {
        using var reader = new VhostUserReader();
        using var backend = new VhostUserBackend(3);
        try
        {
            while (!bytes.IsEmpty)
            {
                var room = reader.Missing.Span;
                var count = Math.Min(room.Length, bytes.Length);
                bytes[..count].CopyTo(room);
                if ((bytes[0] & 3) == 0)
                    reader.Files.Add(Memory.CreateFile("fuzz", 4096));
                bytes = bytes[count..];
                if (reader.Advance(count) is { } message)
                    backend.Handle(message);
            }
        }
        catch (Exception e) when (e is VsockProtocolException or LinuxException)
        {
            // Declared.
        }
    }
}

public sealed class VsockFuzzTests
{
    [Fact]
    public void Random_packets_keep_the_muxer_bounded()
    {
        var random = new Random(1);
        var bytes = new byte[PacketHeader.Size * 200];
        for (var round = 0; round < 500; round++)
        {
            random.NextBytes(bytes);
            VsockFuzz.Packets(bytes);
        }
    }

    [Fact]
    public void Random_vhost_user_streams_end_in_a_declared_error()
    {
        var random = new Random(2);
        for (var round = 0; round < 3_000; round++)
        {
            using var stream = new MemoryStream();
            for (var i = 0; i < 12; i++)
            {
                var payload = new byte[random.Next(4) == 0 ? random.Next(600) : random.Next(6) * 8];
                random.NextBytes(payload);
                for (var j = 0; j < payload.Length; j += 2)
                    payload[j] &= (byte)random.Next(4);
                for (var j = 1; j < payload.Length; j += random.Next(1, 3))
                    payload[j] = 0;
                var message = VhostUserMessage.Reply((VhostUserRequest)random.Next(1, 26), payload);
                message[4] = (byte)(random.Next(20) == 0 ? random.Next(256) : 9);
                stream.Write(message, 0, random.Next(30) == 0 ? random.Next(message.Length) : message.Length);
            }

            VsockFuzz.VhostUser(stream.ToArray());
        }
    }
}
