using System.Net;
using System.Net.Sockets;

namespace KataLike.Linux.Tests;

public sealed class SocketLookupTests
{
    [SkippableTheory]
    [InlineData("127.0.0.1")]
    [InlineData("127.1.2.3")]
    [InlineData("::1")]
    public void One_socket_gets_every_connection_to_loopback(string address)
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root");
        using var space = NetworkNamespaces.Create();
        Socket? listener = null, client = null;
        NetworkNamespaces.Run(space, () =>
        {
            listener = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
            client = new Socket(IPAddress.Parse(address).AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        });
        using (listener)
        using (client)
        {
            listener!.Bind(new IPEndPoint(IPAddress.IPv6Any, 0));
            listener.Listen();
            using (var lookup = TryAttach(space, listener))
            {
                Skip.If(lookup is null, "the kernel has no sk_lookup programs");
                client!.Connect(address, 8080);
                using var accepted = listener.Accept();
                Assert.Equal(8080, ((IPEndPoint)accepted.LocalEndPoint!).Port);
            }
        }
    }

    private static FileDescriptor? TryAttach(FileDescriptor space, Socket listener)
    {
        try
        {
            return SocketLookup.Attach(space, new FileDescriptor((int)listener.Handle, ownsHandle: false));
        }
        catch (LinuxException error) when (error.Errno is Errno.EPERM or Errno.EINVAL or Errno.ENOSYS)
        {
            return null;
        }
    }
}
