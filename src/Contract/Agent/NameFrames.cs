using System.Buffers.Binary;

namespace KataLike.Contract.Agent;

/// <summary>
/// DNS messages on a stream (docs/protocol.md, "Names"): number (2) | length (2) | message, big endian. An answer has its
/// question's number.
/// </summary>
public static class NameFrames
{
    /// <summary>Bytes of the longest message, which is the length field's limit.</summary>
    public const int MaxMessage = ushort.MaxValue;

    /// <summary>Bytes of a message's own header (RFC 1035, 4.1.1).</summary>
    public const int MinMessage = 12;

    private const int Header = 4;

    /// <param name="message">At most <see cref="MaxMessage"/> bytes.</param>
    public static byte[] Encode(ushort number, ReadOnlySpan<byte> message)
    {
        var frame = new byte[Header + message.Length];
        BinaryPrimitives.WriteUInt16BigEndian(frame, number);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(2), checked((ushort)message.Length));
        message.CopyTo(frame.AsSpan(Header));
        return frame;
    }

    /// <exception cref="EndOfStreamException">The stream has ended.</exception>
    public static async Task<(ushort Number, byte[] Message)> ReadAsync(Stream stream, CancellationToken cancel = default)
    {
        var header = new byte[Header];
        await stream.ReadExactlyAsync(header, cancel);
        var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(header.AsSpan(2))];
        await stream.ReadExactlyAsync(message, cancel);
        return (BinaryPrimitives.ReadUInt16BigEndian(header), message);
    }
}
