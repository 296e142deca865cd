using System.Net.Sockets;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.Events;
using KataLike.Contract.Ttrpc;

namespace KataLike.Runtime.Shim;

/// <summary>The connection to containerd's event service: made when it is needed, and made anew after containerd's restart.</summary>
internal sealed class ContainerdEvents(string address)
{
    private static readonly TimeSpan CallTime = TimeSpan.FromSeconds(5);

    private EventsClient? _client;

    /// <summary>Sends one event; one call at a time. A connection that turns out to be dead is replaced once.</summary>
    public async Task ForwardAsync(Envelope envelope, CancellationToken cancel)
    {
        var reused = _client is not null;
        try
        {
            _client ??= await ConnectAsync(cancel);
            await _client.ForwardAsync(envelope, CallTime, cancel);
        }
        catch (Exception e) when (e is not TtrpcException)
        {
            await DropAsync();
            if (!reused || e is OperationCanceledException)
                throw;
            await ForwardAsync(envelope, cancel);
        }
    }

    private async Task<EventsClient> ConnectAsync(CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            const string scheme = "unix://";
            var path = address.StartsWith(scheme, StringComparison.Ordinal) ? address[scheme.Length..] : address;
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
            return new EventsClient(new TtrpcClient(new SocketStream(socket)));
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task DropAsync()
    {
        if (_client is { } client)
            await client.Connection.DisposeAsync();
        _client = null;
    }
}
