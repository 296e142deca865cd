using System.Net;
using System.Net.Sockets;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// What somebody on the host dials on a loopback address of the pod's network namespace is answered by the guest: CRI servers
/// do that for kubectl port-forward, and nobody but the guest listens in a pod.
/// </summary>
internal sealed class LoopbackForward : IDisposable
{
    private readonly Socket _listener;
    private readonly FileDescriptor _lookup;
    private readonly Func<ForwardPortRequest, CancellationToken, Task> _forward;
    private readonly IVsock _vsock;
    private readonly CancellationTokenSource _stop = new();

    private LoopbackForward(Socket listener, FileDescriptor lookup, IVsock vsock, Func<ForwardPortRequest, CancellationToken, Task> forward)
    {
        (_listener, _lookup, _vsock, _forward) = (listener, lookup, vsock, forward);
        _ = AcceptAsync();
    }

    /// <param name="forward">Calls the agent.</param>
    /// <returns>Null where the host's kernel does not allow it.</returns>
    public static LoopbackForward? TryStart(
        FileDescriptor space, IVsock vsock, Func<ForwardPortRequest, CancellationToken, Task> forward, Action<string> warn)
    {
        Socket? listener = null;
        try
        {
            NetworkNamespaces.Run(space, () => listener = Listen());
            using var descriptor = new FileDescriptor((int)listener!.Handle, ownsHandle: false);
            return new LoopbackForward(listener, SocketLookup.Attach(space, descriptor), vsock, forward);
        }
        catch (Exception error) when (error is LinuxException or SocketException)
        {
            listener?.Dispose();
            warn($"ports of the pod's localhost cannot be forwarded: {error.Message}");
            return null;
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _lookup.Dispose();
        _listener.Dispose();
    }

    private static Socket Listen()
    {
        var both = Socket.OSSupportsIPv6;
        var socket = new Socket(both ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        if (both)
            socket.DualMode = true;
        socket.Bind(new IPEndPoint(both ? IPAddress.IPv6Any : IPAddress.Any, 0));
        socket.Listen();
        return socket;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ForwardAsync(await _listener.AcceptAsync(_stop.Token));
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // It is over with the sandbox.
        }
    }

    /// <summary>Where the guest refuses, the client's connection is reset.</summary>
    private async Task ForwardAsync(Socket client)
    {
        using (client)
        {
            var port = ((IPEndPoint)client.LocalEndPoint!).Port;
            client.LingerState = new LingerOption(true, 0);
            var descriptor = new FileDescriptor((int)client.Handle, ownsHandle: false).Duplicate();
            var channel = _vsock.Open(0, descriptor, descriptor);
            try
            {
                await _forward(new ForwardPortRequest { Port = (uint)port, Stream = channel.Port }, _stop.Token);
                // From here on the guest decides how it ends.
                client.LingerState = new LingerOption(false, 0);
            }
            catch (Exception error) when (error is TtrpcException or OperationCanceledException)
            {
                channel.Abort();
            }
        }
    }
}
