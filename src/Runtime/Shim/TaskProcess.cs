using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Shim;

/// <summary>What the Task API knows of a process beside the sandbox: its streams' names, and whether its events are out.</summary>
internal sealed class TaskProcess(string containerId, Process process, StreamNames names, OpenedStreams opened = default)
{
    private FileDescriptor? _stdinHold = opened.StdinHold;
    private LoggingBinary? _logger = opened.Logger;
    private bool _inputClosed;

    // Completed whenever no start is under way: an exit is told after the start that it may overtake.
    private TaskCompletionSource? _starting;

    public string ContainerId { get; } = containerId;

    public Process Process { get; } = process;

    public StreamNames Names { get; } = names;

    /// <summary>Completes when the exit has been written down, which waits for nobody else.</summary>
    public Task Recorded { get; private set; } = Task.CompletedTask;

    /// <summary>Completes when the exit has been published; not set for an exec that was never started.</summary>
    public Task Reported { get; private set; } = Task.CompletedTask;

    /// <summary>Opens the streams at the start, for an exec that was added without.</summary>
    public Func<OpenedStreams>? Open { private get; init; }

    public async Task StartAsync(TaskEvents events, uint pid, CancellationToken cancel)
    {
        var starting = _starting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            if (Open is not null && Process.State == ProcessState.Created && _stdinHold is null)
            {
                (var streams, _stdinHold, _logger) = Open();
                Process.Attach(streams);
                if (_inputClosed)
                    CloseInput();
            }
            await Process.StartAsync(cancel);
            events.Started(ContainerId, Process.ExecId, pid);
        }
        finally
        {
            starting.SetResult();
        }
    }

    /// <summary>Publishes the exit once it has happened, and after those of the given processes.</summary>
    public void Report(TaskEvents events, uint pid, Func<IEnumerable<TaskProcess>> before)
    {
        Recorded = RecordAsync(events);
        Reported = ReportAsync(events, pid, before);
    }

    private async Task RecordAsync(TaskEvents events) => events.Record(ContainerId, Process.ExecId, await Process.Exited);

    private async Task ReportAsync(TaskEvents events, uint pid, Func<IEnumerable<TaskProcess>> before)
    {
        var exit = await Process.Exited;
        await Recorded;
        if (_starting is { } starting)
            await starting.Task;
        await Task.WhenAll(before().Select(other => other.Reported));
        CloseInput();
        events.Exited(ContainerId, Process.ExecId, pid, exit);
    }

    /// <summary>
    /// Ends stdin. For a FIFO that is the shim's own writer only: what clients have written is still read, and the end comes
    /// when the last of them has closed it.
    /// </summary>
    public void CloseInput()
    {
        _inputClosed = true;
        if (_stdinHold is not null)
            _stdinHold.Dispose();
        else
            Process.CloseInput();
    }

    /// <summary>Once it has ended: lets go of what the shim has of its streams; what it wrote has been logged then.</summary>
    public async Task EndStreamsAsync()
    {
        CloseInput();
        if (_logger is { } logger)
            await logger.EndAsync();
        _logger?.Dispose();
    }
}
