using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>The stub's side of its connection (steps: <see cref="StubMessage"/>): in the stub process, or in a foreground command.</summary>
internal sealed class StubSession : IStub, IDisposable
{
    private readonly StubChannel channel;

    private StubSession(StubChannel channel, string ticket, FileDescriptor? network) =>
        (this.channel, Ticket, Network) = (channel, ticket, network);

    public string Ticket { get; }

    /// <summary>The sandbox's network namespace on the host.</summary>
    public FileDescriptor? Network { get; }

    public int Pid => Environment.ProcessId;

    /// <summary>
    /// What is passed on to the guest: all that does not report a fault of this process or belong to the runtime
    /// (32 to 34: threads of libc and of .NET).
    /// </summary>
    public static IEnumerable<int> Forwarded { get; } = Enumerable.Range(1, Signals.Last).Except(
    [
        4, 5, 6, 7, 8, 11, 32, 33, 34, Signals.SIGKILL, Signals.SIGSTOP, Signals.SIGCHLD, Signals.SIGPIPE, Signals.SIGURG,
    ]);

    /// <summary>Hands descriptors to the sandbox process.</summary>
    /// <exception cref="RuntimeException">The sandbox process has gone.</exception>
    public static StubSession Attach(
        StateRoot root, string sandbox, StubMessage.Attach request, params ReadOnlySpan<FileDescriptor> streams)
    {
        StubChannel channel;
        try
        {
            using var directory = Files.Open(root.SandboxDirectory(sandbox), Files.PathOnly | Files.Directory | Files.NoFollow);
            channel = new StubChannel(UnixSockets.Connect(directory, SandboxDirectory.StdioSocket));
        }
        catch (LinuxException e)
        {
            throw new RuntimeException($"sandbox {sandbox} is not running: {e.Message}", cause: e);
        }
        var given = new List<FileDescriptor>();
        if (channel.Send(request, streams) && channel.Receive(given) is StubMessage.Ticket ticket)
            return new StubSession(channel, ticket.Value, given.FirstOrDefault());
        channel.Dispose();
        throw new RuntimeException($"sandbox {sandbox} did not take the standard streams");
    }

    public void Bind()
    {
        if (channel.Send(new StubMessage.Bind()) && channel.Receive() is { } answer && answer is not StubMessage.Error)
            return;
        throw new RuntimeException("the sandbox process lost the container while it was being made");
    }

    /// <summary>Passes signals and window sizes on until the process has ended.</summary>
    /// <param name="signals">From <see cref="Signals.Redirect"/>.</param>
    /// <returns>How it ended; 137 when the sandbox process has gone.</returns>
    public StubMessage.Exit Wait(FileDescriptor signals, FileDescriptor? terminal)
    {
        while (true)
        {
            if (!channel.HasLine)
            {
                var (_, pending) = Polling.WaitAny(channel.Socket, PollEvents.Readable, signals, PollEvents.Readable);
                if (pending != PollEvents.None)
                {
                    Forward(Signals.Read(signals), terminal);
                    continue;
                }
            }
            var message = channel.Receive();
            if (message is StubMessage.Exit exit)
                return exit;
            if (message is null)
                return new StubMessage.Exit(ProcessExit.MachineLost, ContainerExit.Unexplained);
        }
    }

    public void Dispose()
    {
        channel.Dispose();
        Network?.Dispose();
    }

    private void Forward(int signal, FileDescriptor? terminal)
    {
        if (signal != Signals.SIGWINCH)
            channel.Send(new StubMessage.Signal((uint)signal));
        else if (terminal is not null)
        {
            var (columns, rows) = HostTerminals.Size(terminal);
            channel.Send(new StubMessage.Resize(columns, rows));
        }
    }
}

/// <summary>What stands for a process of the guest: this process, or one of its own.</summary>
internal interface IStub
{
    /// <summary>By which Create or Exec finds the streams.</summary>
    string Ticket { get; }

    int Pid { get; }

    /// <summary>Ties the stub to the process that has been made with its ticket.</summary>
    void Bind();
}
