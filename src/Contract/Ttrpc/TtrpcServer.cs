using System.Net.Sockets;

namespace KataLike.Contract.Ttrpc;

/// <summary>Serves ttrpc services, on one connection or on all that a listener accepts.</summary>
/// <remarks>
/// Each call runs on the thread pool beside the others of its connection. A handler's <see cref="TtrpcException"/> gives
/// the status on the wire; cancellation gives Cancelled or DeadlineExceeded; everything else Unknown with its message.
/// </remarks>
public sealed class TtrpcServer
{
    private readonly Dictionary<string, TtrpcService> _services = [];

    public TtrpcServer(params ReadOnlySpan<TtrpcService> services)
    {
        foreach (var service in services)
            _services.Add(service.Name, service);
    }

    /// <summary>Calls of one connection that may be under way at once; more are answered with ResourceExhausted.</summary>
    public int MaxConcurrentCalls { get; init; } = 1024;

    /// <summary>Serves one connected stream, which it owns, until it ends; gives the reason.</summary>
    /// <remarks>Calls under way are cancelled then, not awaited.</remarks>
    public async Task<string> ServeAsync(Stream stream, CancellationToken cancel = default)
    {
        var connection = new TtrpcServerConnection(this, stream);
        await using var stopping = cancel.UnsafeRegister(
            static state => ((TtrpcServerConnection)state!).Stop(), connection);
        return await connection.RunAsync();
    }

    /// <summary>Serves every connection of a listening stream socket until cancelled; then ends them all and returns.</summary>
    /// <exception cref="SocketException">The listener failed.</exception>
    public async Task ListenAsync(Socket listener, CancellationToken cancel)
    {
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var connections = new HashSet<Task>();
        try
        {
            while (true)
            {
                var socket = await AcceptAsync(listener, cancel);
                _ = connections.RemoveWhere(connection => connection.IsCompleted);
                _ = connections.Add(ServeAsync(new SocketStream(socket), stopping.Token));
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }
        finally
        {
            await stopping.CancelAsync();
            await Task.WhenAll(connections);
        }
    }

    internal TtrpcService.Handler Find(string service, string method)
    {
        if (!_services.TryGetValue(service, out var found))
            throw new TtrpcException(StatusCode.Unimplemented, $"service {service}");
        return found.Find(method) ?? throw new TtrpcException(StatusCode.Unimplemented, $"method {method}");
    }

    /// <summary>Out of descriptors is no reason to stop serving for good: connections end and give some back.</summary>
    private static async Task<Socket> AcceptAsync(Socket listener, CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                return await listener.AcceptAsync(cancel);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.ConnectionAborted)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(100), cancel);
            }
        }
    }
}
