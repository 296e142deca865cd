using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>A stub that outlives the command: a process of its own, which conmon or a shim waits for.</summary>
internal sealed class DetachedStub : IStub, IDisposable
{
    private readonly ChildProcess process;
    private readonly StubChannel report;

    private DetachedStub(ChildProcess process, StubChannel report, string ticket) =>
        (this.process, this.report, Ticket) = (process, report, ticket);

    public string Ticket { get; }

    public int Pid => process.Pid;

    /// <param name="terminal">It becomes the stub's controlling terminal; null: the stub has this process's streams.</param>
    public static DetachedStub Start(StateRoot root, string sandbox, StubMessage.Attach request, FileDescriptor? terminal)
    {
        var (own, childs) = UnixSockets.Pair();
        var report = new StubChannel(own);
        ChildProcess process;
        using (childs)
        {
            process = ChildProcess.Start(new ProcessStart
            {
                Path = "/proc/self/exe",
                Arguments = ["katalike", "stub", root.Path, sandbox, .. request.Format().Split(' ')],
                // The stub holds a few kilobytes: it needs no large heap.
                Environment = ["DOTNET_GCHeapHardLimit=1000000"],
                Descriptors = [.. Streams(terminal), (childs, StubCommand.ReportNumber)],
                NewSession = true,
                ControllingTerminal = terminal is null ? null : 0,
                WorkingDirectory = "/",
            });
        }
        if (report.Receive() is StubMessage.Ticket ticket)
            return new DetachedStub(process, report, ticket.Value);
        report.Dispose();
        process.Dispose();
        throw new RuntimeException($"sandbox {sandbox} did not take the standard streams");
    }

    public void Bind()
    {
        if (!report.Send(new StubMessage.Bind()) || report.Receive() is not StubMessage.Bound)
            throw new RuntimeException("the sandbox process lost the container while it was being made");
    }

    /// <summary>Lets go of the stub: one that is not bound ends, one that is lives on.</summary>
    public void Dispose()
    {
        report.Dispose();
        process.Dispose();
    }

    private static IEnumerable<(FileDescriptor, int)> Streams(FileDescriptor? terminal) =>
        from number in Enumerable.Range(0, 3)
        select (terminal ?? StandardStreams.Get(number), number);
}
