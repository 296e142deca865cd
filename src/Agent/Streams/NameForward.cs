using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent.Streams;

/// <summary>
/// A name server on a loopback address of the sandbox's network, over UDP: the host's answers, for resolvers that know no other
/// (Docker's networks have theirs on 127.0.0.11). It lasts as long as the host's stream.
/// </summary>
internal sealed class NameForward
{
    private const int Port = 53;

    /// <summary>Questions whose answers are awaited; an older one is forgotten, as its asker has by then.</summary>
    private const int MaxAsked = 256;

    /// <summary>Questions taken in one turn of the loop: a flood of them must not keep it from everybody else.</summary>
    private const int MaxTaken = 64;

    private readonly EventLoop _loop;
    private readonly Socket _socket;
    private readonly ControlStream _host;
    private readonly (ushort Number, EndPoint? Asker)[] _asked = new (ushort, EndPoint?)[MaxAsked];
    private readonly Channel<byte[]> _questions =
        Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MaxAsked) { FullMode = BoundedChannelFullMode.DropWrite });

    private readonly byte[] _buffer = new byte[NameFrames.MaxMessage];
    private ushort _last;

    private NameForward(EventLoop loop, Socket socket, ControlStream host) => (_loop, _socket, _host) = (loop, socket, host);

    /// <summary>Returns when the address is served.</summary>
    /// <exception cref="TtrpcException">InvalidArgument: no loopback address. FailedPrecondition: somebody serves it already.</exception>
    public static void Begin(EventLoop loop, FileDescriptor network, ReadOnlySpan<byte> address, uint hostPort)
    {
        if (address.Length is not (4 or 16) || new IPAddress(address) is var place && !IPAddress.IsLoopback(place))
            throw new TtrpcException(StatusCode.InvalidArgument, "names are forwarded from a loopback address only");
        Socket? socket = null;
        try
        {
            NetworkNamespaces.Run(network, () => socket = new Socket(place.AddressFamily, SocketType.Dgram, ProtocolType.Udp) { Blocking = false });
            socket!.Bind(new IPEndPoint(place, Port));
            new NameForward(loop, socket, new ControlStream(loop, VsockSockets.Connect(VsockSockets.HostCid, hostPort))).Serve();
        }
        catch (Exception e) when (e is SocketException or LinuxException)
        {
            socket?.Dispose();
            throw new TtrpcException(StatusCode.FailedPrecondition, $"no name server on {place}: {e.Message}", e);
        }
    }

    private void Serve()
    {
        var descriptor = new FileDescriptor((int)_socket.Handle, ownsHandle: false);
        var key = _loop.Watch(descriptor, PollEvents.Readable, _ => Take());
        _ = AskAsync();
        _ = Task.Run(async () =>
        {
            await AnswerAsync();
            _loop.Forget(descriptor, key);
            _questions.Writer.TryComplete();
            _host.Dispose();
            _socket.Dispose();
        });
    }

    /// <summary>On the loop's thread: all that has come, in several turns if it is much.</summary>
    private void Take()
    {
        try
        {
            for (var taken = 0; _socket.Poll(0, SelectMode.SelectRead); taken++)
            {
                if (taken == MaxTaken)
                {
                    _loop.Post(Take);
                    return;
                }
                EndPoint asker = new IPEndPoint(_socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
                var length = _socket.ReceiveFrom(_buffer, ref asker);
                if (length < NameFrames.MinMessage)
                    continue;
                lock (_asked)
                    _asked[++_last % MaxAsked] = (_last, asker);
                _questions.Writer.TryWrite(NameFrames.Encode(_last, _buffer.AsSpan(0, length)));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }

    private async Task AskAsync()
    {
        try
        {
            await foreach (var question in _questions.Reader.ReadAllAsync())
                await _host.WriteAsync(question);
        }
        catch (Exception e) when (e is IOException or LinuxException)
        {
            // The other direction sees the end, too.
        }
    }

    private async Task AnswerAsync()
    {
        try
        {
            while (true)
            {
                var (number, message) = await NameFrames.ReadAsync(_host);
                if (Forget(number) is { } asker)
                    Send(message, asker);
            }
        }
        catch (Exception e) when (e is IOException or LinuxException)
        {
            Log.Debug($"names: {e.Message}");
        }
    }

    /// <summary>Who asked; null: nobody, or too long ago.</summary>
    private EndPoint? Forget(ushort number)
    {
        lock (_asked)
        {
            var (asked, asker) = _asked[number % MaxAsked];
            if (asked != number)
                return null;
            _asked[number % MaxAsked] = default;
            return asker;
        }
    }

    private void Send(byte[] message, EndPoint asker)
    {
        try
        {
            _socket.SendTo(message, asker);
        }
        catch (SocketException)
        {
            // The asker has gone, or does not take it now: it asks again.
        }
    }
}
