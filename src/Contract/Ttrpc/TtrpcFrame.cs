using System.Buffers.Binary;

namespace KataLike.Contract.Ttrpc;

/// <summary>What a frame is; PROTOCOL.md, "Message Types". Receivers skip types they do not know.</summary>
public enum TtrpcFrameType : byte
{
    Request = 1,
    Response = 2,
    Data = 3,
}

/// <summary>One frame of the wire: a header of ten bytes, big endian, and at most 4 MiB of data.</summary>
/// <remarks>
/// length (4 bytes, of the data) | stream id (4 bytes, odd: begun by the client) | type (1 byte) | flags (1 byte) | data.
/// A unary call is one Request and one Response with the same stream id and no flags.
/// </remarks>
internal readonly ref struct TtrpcFrame
{
    public const int HeaderLength = 10;
    public const int MaxDataLength = 4 << 20;

    public uint StreamId { get; private init; }

    public TtrpcFrameType Type { get; private init; }

    public byte Flags { get; private init; }

    public ReadOnlySpan<byte> Data { get; private init; }

    /// <summary>Takes one frame off the front of <paramref name="bytes"/>, if all of it is there.</summary>
    /// <param name="bytes">What has been received; moves on behind the frame.</param>
    /// <param name="frame">The frame; its data stays in the buffer.</param>
    /// <param name="length">Length of the frame with its header as far as is known; <see cref="HeaderLength"/> before.</param>
    /// <exception cref="TtrpcProtocolException">The frame is longer than the protocol allows.</exception>
    public static bool TryRead(ref ReadOnlySpan<byte> bytes, out TtrpcFrame frame, out int length)
    {
        frame = default;
        length = HeaderLength;
        if (bytes.Length < HeaderLength)
            return false;

        uint dataLength = BinaryPrimitives.ReadUInt32BigEndian(bytes);
        if (dataLength > MaxDataLength)
            throw new TtrpcProtocolException($"frame of {dataLength} bytes exceeds the limit of {MaxDataLength}");

        length = HeaderLength + (int)dataLength;
        if (bytes.Length < length)
            return false;

        frame = new TtrpcFrame
        {
            StreamId = BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]),
            Type = (TtrpcFrameType)bytes[8],
            Flags = bytes[9],
            Data = bytes[HeaderLength..length],
        };
        bytes = bytes[length..];
        return true;
    }

    public static void WriteHeader(Span<byte> destination, int dataLength, uint streamId, TtrpcFrameType type)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(dataLength, MaxDataLength);
        BinaryPrimitives.WriteInt32BigEndian(destination, dataLength);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], streamId);
        destination[8] = (byte)type;
        destination[9] = 0;
    }
}
