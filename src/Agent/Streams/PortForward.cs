using System.Net;
using System.Net.Sockets;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent.Streams;

/// <summary>Joins a connection of the host's to a server in the sandbox that listens on a loopback address.</summary>
internal static class PortForward
{
    /// <summary>Returns when the server has taken the connection and the host's port is dialled; bytes then move until both ways have ended.</summary>
    /// <param name="network">Where the server listens.</param>
    /// <exception cref="TtrpcException">FailedPrecondition: nobody listens there.</exception>
    public static void Begin(EventLoop loop, FileDescriptor network, int port, uint hostPort)
    {
        using var server = Connect(network, port);
        using var host = VsockSockets.Connect(VsockSockets.HostCid, hostPort);
        Join(loop, server, host);
        Join(loop, host, server);
    }

    private static FileDescriptor Connect(FileDescriptor network, int port)
    {
        foreach (var address in (IPAddress[])[IPAddress.Loopback, IPAddress.IPv6Loopback])
        {
            Socket? socket = null;
            try
            {
                NetworkNamespaces.Run(network, () => socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
                socket!.Connect(address, port);
                return new FileDescriptor((int)socket.Handle, ownsHandle: false).Duplicate();
            }
            catch (SocketException)
            {
                // The other family may be served.
            }
            finally
            {
                socket?.Dispose();
            }
        }
        throw new TtrpcException(StatusCode.FailedPrecondition, $"nobody listens on port {port} of localhost");
    }

    /// <summary>Bytes can be spliced only where one side is a pipe.</summary>
    private static void Join(EventLoop loop, FileDescriptor from, FileDescriptor to)
    {
        var (read, write) = Splicing.Pipe(Relay.PipeCapacity);
        _ = new Relay(loop, from.Duplicate(), write);
        _ = new Relay(loop, read, to.Duplicate());
    }
}
