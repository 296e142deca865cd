using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// Asks what the guest asks of a name server on a loopback address, in the network namespace of the sandbox on the host: there
/// is one in Docker's networks, on 127.0.0.11. The guest can reach nothing else by it.
/// </summary>
internal sealed class NameForward : IDisposable
{
    private const int Port = 53;

    /// <summary>Questions of the guest that are asked at once; more are dropped, as a busy server does.</summary>
    private const int MaxQuestions = 64;

    private const int MaxResolverFile = 64 << 10;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly FileDescriptor _space;
    private readonly IPAddress _server;
    private readonly Stream _guest;
    private readonly SemaphoreSlim _questions = new(MaxQuestions);
    private readonly SemaphoreSlim _writing = new(1);
    private readonly CancellationTokenSource _stop = new();

    internal NameForward(FileDescriptor space, IPAddress server, Stream guest) => (_space, _server, _guest) = (space, server, guest);

    /// <summary>The name servers on loopback addresses in the file that a container gets as /etc/resolv.conf.</summary>
    public static IReadOnlyList<IPAddress> ServersOf(Spec spec)
    {
        var file = spec.Mounts?.LastOrDefault(mount => mount.Destination == "/etc/resolv.conf")?.Source;
        try
        {
            if (file is null || new FileInfo(file) is not { Exists: true, Length: <= MaxResolverFile } || !IsRegular(file))
                return [];
            return Servers(File.ReadAllText(file));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or LinuxException)
        {
            // The mount tells what is wrong with it.
            return [];
        }
    }

    internal static IReadOnlyList<IPAddress> Servers(string resolver) =>
    [
        .. from line in resolver.Split('\n')
           let words = line.Split([' ', '\t', '\r'], StringSplitOptions.RemoveEmptyEntries)
           where words is ["nameserver", _, ..]
           select IPAddress.TryParse(words[1], out var address) ? address : null into address
           where address is not null && IPAddress.IsLoopback(address)
           select address,
    ];

    /// <param name="tell">Calls the agent.</param>
    /// <returns>Null where the guest cannot: who asks there gets no answers, then.</returns>
    public static async Task<NameForward?> TryStartAsync(
        FileDescriptor space, IPAddress server, IVsock vsock, Func<ForwardNamesRequest, Task> tell, Action<string> warn)
    {
        var (ours, guests) = UnixSockets.Pair();
        var forward = new NameForward(space, server, SocketStreams.Take(ours));
        var channel = vsock.Open(0, guests, guests);
        try
        {
            await tell(new ForwardNamesRequest { Address = ByteString.CopyFrom(server.GetAddressBytes()), Stream = channel.Port });
        }
        catch (Exception error)
        {
            channel.Abort();
            forward.Dispose();
            if (error is not TtrpcException)
                throw;
            warn($"names cannot be asked on {server}: {error.Message}");
            return null;
        }
        _ = forward.ServeAsync();
        return forward;
    }

    public void Dispose()
    {
        _stop.Cancel();
        _guest.Dispose();
    }

    private static bool IsRegular(string file)
    {
        using var place = Files.Open(file, Files.PathOnly);
        return Files.Status(place).IsRegular;
    }

    internal async Task ServeAsync()
    {
        try
        {
            while (true)
            {
                var (number, question) = await NameFrames.ReadAsync(_guest, _stop.Token);
                if (question.Length >= NameFrames.MinMessage && _questions.Wait(0, CancellationToken.None))
                    _ = AskAsync(number, question);
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // It is over with the sandbox.
        }
    }

    private async Task AskAsync(ushort number, byte[] question)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(NameFrames.MaxMessage);
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            limit.CancelAfter(Patience);
            Socket? socket = null;
            NetworkNamespaces.Run(_space, () => socket = new Socket(_server.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
            using var asking = socket!;
            await asking.ConnectAsync(new IPEndPoint(_server, Port), limit.Token);
            await asking.SendAsync(question, limit.Token);
            var length = await asking.ReceiveAsync(buffer.AsMemory(0, NameFrames.MaxMessage), limit.Token);
            await _writing.WaitAsync(_stop.Token);
            try
            {
                await _guest.WriteAsync(NameFrames.Encode(number, buffer.AsSpan(0, length)), _stop.Token);
            }
            finally
            {
                _writing.Release();
            }
        }
        catch (Exception error) when (error is IOException or SocketException or LinuxException or OperationCanceledException or ObjectDisposedException)
        {
            // No answer: who asked tries again, or another server.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            _questions.Release();
        }
    }
}
