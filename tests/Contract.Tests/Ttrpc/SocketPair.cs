using System.Net.Sockets;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Tests.Ttrpc;

/// <summary>Two connected Unix stream sockets.</summary>
internal static class SocketPair
{
    public static (Socket Left, Socket Right) Create()
    {
        string path = Path.Combine(Path.GetTempPath(), $"ttrpc-{Guid.NewGuid():N}.sock");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(1);
        var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        left.Connect(new UnixDomainSocketEndPoint(path));
        var right = listener.Accept();
        File.Delete(path);
        return (left, right);
    }

    public static async Task<byte[]> ReadExactlyAsync(this Socket socket, int count)
    {
        byte[] bytes = new byte[count];
        for (int have = 0; have < count;)
        {
            int got = await socket.ReceiveAsync(bytes.AsMemory(have), SocketFlags.None);
            Assert.True(got > 0, "the peer closed the connection");
            have += got;
        }
        return bytes;
    }

    /// <summary>One frame's stream id and the response in it.</summary>
    public static async Task<(uint StreamId, Response Response)> ReadResponseAsync(this Socket socket)
    {
        byte[] header = await socket.ReadExactlyAsync(TtrpcFrame.HeaderLength);
        Assert.Equal((byte)TtrpcFrameType.Response, header[8]);
        byte[] data = await socket.ReadExactlyAsync(header[1] << 16 | header[2] << 8 | header[3]);
        uint streamId = (uint)(header[4] << 24 | header[5] << 16 | header[6] << 8 | header[7]);
        return (streamId, Response.Parser.ParseFrom(data));
    }

    public static byte[] Frame(uint streamId, byte type, byte flags, params byte[] data)
    {
        byte[] frame = new byte[TtrpcFrame.HeaderLength + data.Length];
        TtrpcFrame.WriteHeader(frame, data.Length, streamId, (TtrpcFrameType)type);
        frame[9] = flags;
        data.CopyTo(frame, TtrpcFrame.HeaderLength);
        return frame;
    }
}
