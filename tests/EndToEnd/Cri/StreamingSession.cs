using System.Net.WebSockets;
using System.Text;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>
/// A session with the CRI server's streaming endpoint, as kubelet's clients have it over a WebSocket (v4.channel.k8s.io): the
/// first byte of each message is the channel.
/// </summary>
internal sealed class StreamingSession : IAsyncDisposable
{
    public const byte Stdin = 0, Stdout = 1, Stderr = 2, Status = 3, Size = 4;

    /// <summary>The channels of the one port that is forwarded.</summary>
    public const byte PortData = 0, PortError = 1;

    private readonly ClientWebSocket _socket = new();
    private readonly Dictionary<byte, MemoryStream> _received = [];

    private StreamingSession() => _socket.Options.AddSubProtocol("v4.channel.k8s.io");

    public static async Task<StreamingSession> OpenAsync(CriNode node, Uri url)
    {
        var session = new StreamingSession();
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancel) => await node.Namespaces.ConnectAsync(context.DnsEndPoint.Host, context.DnsEndPoint.Port, cancel),
        };
        using var invoker = new HttpMessageInvoker(handler);
        var address = new UriBuilder(url) { Scheme = "ws" }.Uri;
        await session._socket.ConnectAsync(address, invoker, CancellationToken.None);
        return session;
    }

    public Task SendAsync(byte channel, string text) => SendAsync(channel, Encoding.UTF8.GetBytes(text));

    public Task SendAsync(byte channel, byte[] bytes) =>
        _socket.SendAsync((byte[])[channel, .. bytes], WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);

    public string Text(byte channel) => Encoding.UTF8.GetString(Bytes(channel)).ReplaceLineEndings("\n");

    public byte[] Bytes(byte channel) => _received.TryGetValue(channel, out var stream) ? stream.ToArray() : [];

    /// <summary>Receives until a channel has what is waited for.</summary>
    public async Task UntilAsync(byte channel, string text)
    {
        while (!Text(channel).Contains(text, StringComparison.Ordinal))
            Assert.True(await ReceiveAsync(), $"the session ended before channel {channel} said {text}: {Text(channel)}; status {Text(Status)}");
    }

    /// <summary>Receives all until the server ends the session.</summary>
    public async Task UntilEndAsync()
    {
        while (await ReceiveAsync())
        {
        }
    }

    /// <summary>False: the session is over.</summary>
    public async Task<bool> ReceiveAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        using var message = new MemoryStream();
        var buffer = new byte[64 << 10];
        ValueWebSocketReceiveResult part;
        do
        {
            try
            {
                part = await _socket.ReceiveAsync(buffer.AsMemory(), limit.Token);
            }
            catch (WebSocketException)
            {
                return false;
            }
            if (part.MessageType == WebSocketMessageType.Close)
                return false;
            message.Write(buffer, 0, part.Count);
        }
        while (!part.EndOfMessage);
        var bytes = message.ToArray();
        if (bytes.Length == 0)
            return true;
        if (!_received.TryGetValue(bytes[0], out var stream))
            _received[bytes[0]] = stream = new MemoryStream();
        stream.Write(bytes, 1, bytes.Length - 1);
        return true;
    }

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        return default;
    }
}
