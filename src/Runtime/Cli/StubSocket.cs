using System.Collections.Concurrent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>stdio.sock of a sandbox process: takes the descriptors of stubs in, and tells each how its process ended.</summary>
internal sealed class StubSocket : IAsyncDisposable
{
    private const int StackSize = 128 * 1024;
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(2);

    private readonly FileDescriptor listener;
    private readonly Sandboxes.Sandbox sandbox;
    private readonly ConcurrentDictionary<string, StubConnection> tickets = [];
    private readonly ConcurrentDictionary<StubConnection, Task> connections = [];
    private Func<string, string, Task> forgetExec = (_, _) => Task.CompletedTask;

    /// <param name="listener">Bound, listening, 0600; owned from here on.</param>
    public StubSocket(FileDescriptor listener, Sandboxes.Sandbox sandbox) => (this.listener, this.sandbox) = (listener, sandbox);

    /// <param name="forgetExec">Removes an exec (container, exec id) whose stub has been told its end.</param>
    public void Start(Func<string, string, Task> forgetExec)
    {
        this.forgetExec = forgetExec;
        new Thread(Accept, StackSize) { IsBackground = true, Name = "stubs" }.Start();
    }

    /// <summary>The streams behind stub://TICKET; each ticket is taken once.</summary>
    /// <exception cref="TtrpcException">InvalidArgument: there is no such ticket.</exception>
    public ProcessStreams Take(string ticket) =>
        tickets.TryRemove(ticket, out var connection)
            ? connection.Take()
            : throw new TtrpcException(StatusCode.InvalidArgument, "no stub holds this ticket");

    /// <summary>Lets the stubs whose processes have ended learn it, then cuts the rest off.</summary>
    public async ValueTask DisposeAsync()
    {
        UnixSockets.ShutDown(listener, reading: true, writing: true);
        _ = await Task.WhenAny(Task.WhenAll(connections.Keys.Select(c => c.Reported)), Task.Delay(DrainTime));
        foreach (var connection in connections.Keys)
            connection.Close();
        await Task.WhenAll(connections.Values);
    }

    private void Accept()
    {
        using (listener)
        {
            while (true)
            {
                FileDescriptor socket;
                try
                {
                    socket = UnixSockets.Accept(listener);
                }
                catch (LinuxException)
                {
                    return;
                }
                var peer = PeerCredentials.Of(socket);
                if (peer.Uid == 0 || peer.Uid == PeerCredentials.OwnUser)
                    Serve(socket);
                else
                    socket.Dispose();
            }
        }
    }

    private void Serve(FileDescriptor socket)
    {
        var connection = new StubConnection(new StubChannel(socket), sandbox, forgetExec);
        var ended = new TaskCompletionSource();
        connections[connection] = ended.Task;
        new Thread(Run, StackSize) { IsBackground = true, Name = "stub" }.Start();

        void Run()
        {
            var ticket = Convert.ToHexStringLower(RandomBytes.Get(16));
            try
            {
                if (connection.Attach())
                {
                    tickets[ticket] = connection;
                    connection.Serve(ticket);
                }
            }
            finally
            {
                _ = tickets.TryRemove(ticket, out _);
                connection.Dispose();
                _ = connections.TryRemove(connection, out _);
                ended.SetResult();
            }
        }
    }
}
