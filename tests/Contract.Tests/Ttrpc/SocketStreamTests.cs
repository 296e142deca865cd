using KataLike.Contract.Ttrpc;
using static KataLike.Contract.Tests.Ttrpc.SocketPair;

namespace KataLike.Contract.Tests.Ttrpc;

public sealed class SocketStreamTests
{
    [Fact]
    public async Task A_peer_that_has_gone_is_a_failure_of_the_stream()
    {
        var (own, peer) = Create();
        await using var stream = new SocketStream(own);
        // It goes with something unread: that resets the connection.
        await stream.WriteAsync(new byte[1]);
        peer.Dispose();
        await Assert.ThrowsAsync<IOException>(async () => await stream.ReadExactlyAsync(new byte[1]));
        await Assert.ThrowsAsync<IOException>(async () => await stream.WriteAsync(new byte[1]));
    }
}
