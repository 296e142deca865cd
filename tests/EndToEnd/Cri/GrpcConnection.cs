using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Google.Protobuf;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>The server answered a call with a status other than OK.</summary>
public sealed class GrpcException(int status, string message) : Exception($"grpc status {status}: {message}")
{
    public const int NotFound = 5, DeadlineExceeded = 4;

    public int Status { get; } = status;
}

/// <summary>Unary gRPC calls over a Unix socket: HTTP/2 with prior knowledge, each message after a 5-byte prefix, the status in trailers.</summary>
internal sealed class GrpcConnection : IDisposable
{
    private const int PrefixLength = 5;

    private readonly HttpClient _client;

    public GrpcConnection(string socketPath)
    {
        var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancel);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        };
        _client = new HttpClient(handler) { BaseAddress = new Uri("http://localhost"), Timeout = TimeSpan.FromMinutes(4) };
    }

    /// <exception cref="GrpcException">The server's status is not OK.</exception>
    public async Task<T> CallAsync<T>(string method, IMessage request, MessageParser<T> parser) where T : IMessage<T>
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, method)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(Frame(request)) { Headers = { ContentType = new MediaTypeHeaderValue("application/grpc") } },
        };
        message.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        using var response = await _client.SendAsync(message);
        response.EnsureSuccessStatusCode();
        var body = await response.Content.ReadAsByteArrayAsync();
        // An answer without a message has its status among the headers.
        var status = Header(response.TrailingHeaders, "grpc-status") ?? Header(response.Headers, "grpc-status") ?? "2";
        if (status != "0")
        {
            var words = Header(response.TrailingHeaders, "grpc-message") ?? Header(response.Headers, "grpc-message") ?? "";
            throw new GrpcException(int.Parse(status), Uri.UnescapeDataString(words));
        }
        var length = BinaryPrimitives.ReadInt32BigEndian(body.AsSpan(1));
        return parser.ParseFrom(body, PrefixLength, length);
    }

    public void Dispose() => _client.Dispose();

    private static byte[] Frame(IMessage request)
    {
        var bytes = new byte[PrefixLength + request.CalculateSize()];
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(1), bytes.Length - PrefixLength);
        request.WriteTo(bytes.AsSpan(PrefixLength));
        return bytes;
    }

    private static string? Header(HttpHeaders headers, string name) =>
        headers.TryGetValues(name, out var values) ? values.FirstOrDefault() : null;
}
