using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>The sandbox's side of one stub (steps: <see cref="StubMessage"/>). A thread runs it, blocked in receiving.</summary>
internal sealed class StubConnection(
    StubChannel channel, Sandboxes.Sandbox sandbox, Func<string, string, Task> forgetExec) : IDisposable
{
    private readonly List<FileDescriptor> descriptors = [];
    private StubMessage.Attach request = new("", "", false, 0, 0);
    private volatile bool taken;
    private volatile bool bound;
    private volatile bool told;

    /// <summary>Completes when the stub has been told the end of its process; at once where there is none.</summary>
    public Task Reported { get; private set; } = Task.CompletedTask;

    /// <summary>Step 1; false if what came is not that.</summary>
    public bool Attach()
    {
        if (channel.Receive(descriptors) is not StubMessage.Attach attach || descriptors.Count != attach.Descriptors)
            return false;
        request = attach;
        return true;
    }

    /// <summary>The descriptors, for the process that is being made; they belong to it then.</summary>
    public ProcessStreams Take()
    {
        taken = true;
        return new ProcessStreams(
            request.Terminal, descriptors[0], descriptors[1], request.Terminal ? null : descriptors[2],
            Columns: request.Columns, Rows: request.Rows, Pid: PeerCredentials.Of(channel.Socket).Pid);
    }

    /// <summary>Steps 2 to 6, until the stub's end closes.</summary>
    public void Serve(string ticket)
    {
        using (var network = sandbox.HoldNetwork())
            channel.Send(new StubMessage.Ticket(ticket), network is null ? [] : [network]);
        while (channel.Receive() is { } message)
        {
            try
            {
                Handle(message);
            }
            catch (Exception e) when (e is TtrpcException or IOException)
            {
                // A process that ended meanwhile takes no signal and needs no size.
                if (message is StubMessage.Bind)
                    channel.Send(new StubMessage.Error(e.Message));
            }
        }
        if (bound && !told)
            KillProcess();
    }

    public void Close() => UnixSockets.ShutDown(channel.Socket, reading: true, writing: true);

    public void Dispose()
    {
        if (!taken)
            descriptors.ForEach(d => d.Dispose());
        channel.Dispose();
    }

    private Process Process => sandbox.Get(request.Container).Get(request.ExecId);

    private void Handle(StubMessage message)
    {
        switch (message)
        {
            case StubMessage.Bind when taken:
                var process = Process;
                bound = true;
                channel.Send(new StubMessage.Bound());
                Reported = ReportAsync(process);
                break;
            case StubMessage.Signal signal:
                Process.SignalAsync(signal.Number, all: false).GetAwaiter().GetResult();
                break;
            case StubMessage.Resize size:
                Process.ResizeAsync(size.Columns, size.Rows).GetAwaiter().GetResult();
                break;
        }
    }

    private async Task ReportAsync(Process process)
    {
        var exit = await process.Exited;
        told = channel.Send(new StubMessage.Exit(exit.Status, exit.Loss));
        if (request.ExecId.Length > 0)
            await forgetExec(request.Container, request.ExecId);
    }

    private void KillProcess()
    {
        try
        {
            Process.SignalAsync(Signals.SIGKILL, all: false).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is TtrpcException or IOException)
        {
            // It is gone already.
        }
    }
}
