using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;

namespace KataLike.Runtime.Sandboxes;

/// <summary>A process of a container: its first one (ExecId is empty), or one added by exec.</summary>
internal sealed class Process
{
    private const uint SigKill = 9;

    /// <summary>How long a killed process's output may wait for a reader that does not read.</summary>
    private static readonly TimeSpan KilledPatience = TimeSpan.FromSeconds(2);

    private readonly Sandbox _sandbox;
    private readonly Container _container;
    private readonly byte[]? _processJson;
    private readonly TaskCompletionSource<ProcessExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _killed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly Lock _lock = new();
    private ProcessState _state;
    private StreamChannels? _channels;
    private bool _claimed;

    /// <param name="processJson">The process object of an exec; null: the container's first process.</param>
    internal Process(Sandbox sandbox, Container container, string execId, ProcessStreams streams, byte[]? processJson)
    {
        (_sandbox, _container, ExecId, Streams, _processJson) = (sandbox, container, execId, streams, processJson);
    }

    public string ExecId { get; }

    public ProcessStreams Streams { get; private set; }

    public bool Terminal => Streams.Terminal;

    /// <summary>In the guest's root pid namespace; 0 until it is known. It names nothing on the host.</summary>
    public uint GuestPid { get; private set; }

    /// <summary>The process has ended and its output is where it belongs. Never faults.</summary>
    public Task<ProcessExit> Exited => _exited.Task;

    public ProcessState State
    {
        get
        {
            lock (_lock)
                return _state;
        }
    }

    /// <summary>Starts an exec; returns once execve has succeeded in the guest.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        if (_processJson is null)
        {
            await _container.StartAsync(cancel);
            return;
        }
        _container.Require(ContainerAction.Exec);
        lock (_lock)
        {
            if (_claimed || _state != ProcessState.Created)
                throw new TtrpcException(StatusCode.FailedPrecondition, "cannot start a process twice");
            _claimed = true;
        }
        try
        {
            await _container.WakeAsync(cancel);
            var streams = OpenStreams();
            var request = new ExecRequest
            {
                Id = _container.Id,
                ExecId = ExecId,
                Process = Google.Protobuf.ByteString.CopyFrom(_processJson),
                Streams = streams,
            };
            var answer = await _sandbox.CallAsync((agent, stop) => agent.ExecAsync(request, stop), cancel);
            Begin(answer.Pid);
            MarkRunning();
        }
        catch
        {
            MarkExited(new ProcessExit(255, DateTimeOffset.UtcNow, false));
            throw;
        }
    }

    /// <exception cref="TtrpcException">NotFound "process already finished".</exception>
    public async Task SignalAsync(uint signal, bool all, CancellationToken cancel = default)
    {
        if (State == ProcessState.Stopped)
            throw new TtrpcException(StatusCode.NotFound, "process already finished");
        if (_processJson is not null && State == ProcessState.Created)
            throw new TtrpcException(StatusCode.FailedPrecondition, "process has not been started");
        if (_processJson is null && await _container.TrySignalDormantAsync(signal, cancel))
            return;
        var request = new SignalRequest { Id = _container.Id, ExecId = ExecId, Signal = signal, All = all };
        try
        {
            await _sandbox.CallAsync((agent, stop) => agent.SignalAsync(request, stop), cancel);
        }
        catch (TtrpcException error) when (error.Code == StatusCode.Unavailable && Exited is { IsCompletedSuccessfully: true, Result.Loss: null })
        {
            // It was the last one: its end has ended the machine before the agent's answer was here.
        }
        if (signal == SigKill)
            NoteKilled();
    }

    /// <summary>It ends now, and its output waits no longer for a reader than a killed process's does.</summary>
    internal void NoteKilled() => _killed.TrySetResult();

    public Task ResizeAsync(uint columns, uint rows, CancellationToken cancel = default)
    {
        var request = new ResizeRequest { Id = _container.Id, ExecId = ExecId, Columns = columns, Rows = rows };
        return _sandbox.CallAsync((agent, stop) => agent.ResizeAsync(request, stop), cancel);
    }

    /// <summary>Gives an exec the streams that it was added without; before it is started.</summary>
    public void Attach(ProcessStreams streams) => Streams = streams;

    public void CloseInput() => _channels?.CloseInput();

    /// <summary>Forgets an exec that has ended, or was never started.</summary>
    public async Task DeleteAsync(CancellationToken cancel = default)
    {
        var state = State;
        if (state == ProcessState.Running)
            throw new TtrpcException(StatusCode.FailedPrecondition, "cannot delete a running process");
        if (_processJson is null)
            throw new TtrpcException(StatusCode.InvalidArgument, "the first process is deleted with its container");
        if (GuestPid != 0 && !_sandbox.Died.IsCompleted)
            await _sandbox.CallAsync(
                (agent, stop) => agent.DeleteAsync(new DeleteRequest { Id = _container.Id, ExecId = ExecId }, stop), cancel);
        if (state == ProcessState.Created)
            MarkExited(new ProcessExit(0, DateTimeOffset.UtcNow, false));
        _container.Forget(ExecId);
    }

    internal Contract.Agent.Streams OpenStreams()
    {
        var channels = new StreamChannels(_sandbox.Machine.Vsock, Streams);
        lock (_lock)
        {
            _channels = channels;
            if (_state == ProcessState.Stopped)
                channels.Abort();
        }
        return channels.Ports;
    }

    /// <summary>The guest has it: its end is waited for from here on.</summary>
    internal void Begin(uint guestPid)
    {
        GuestPid = guestPid;
        _ = WaitAsync();
    }

    internal void MarkRunning()
    {
        lock (_lock)
            if (_state == ProcessState.Created)
                _state = ProcessState.Running;
    }

    /// <summary>First call wins: the process is over, and so are its streams.</summary>
    internal void MarkExited(ProcessExit exit)
    {
        StreamChannels? channels;
        lock (_lock)
        {
            if (_state == ProcessState.Stopped)
                return;
            _state = ProcessState.Stopped;
            channels = _channels;
        }
        if (channels is null)
            Streams.Dispose();
        else
            channels.Abort();
        if (_processJson is null)
            _container.MarkStopped();
        _exited.TrySetResult(exit);
        _sandbox.NoteChange();
    }

    private async Task WaitAsync()
    {
        try
        {
            var request = new WaitRequest { Id = _container.Id, ExecId = ExecId };
            var answer = await _sandbox.Machine.Agent.WaitAsync(request);
            var exit = new ProcessExit(Math.Min(answer.ExitStatus, 255), DateTimeOffset.UtcNow, answer.OomKilled);
            if (!answer.StreamsHeld && _channels is { } channels)
                await Task.WhenAny(channels.Drained, AfterKillAsync());
            MarkExited(exit);
        }
        catch (TtrpcDisconnectedException)
        {
            // That ends the sandbox, which knows why, and with it this process.
        }
        catch (Exception error) when (error is TtrpcException or IOException)
        {
            // The agent is broken, which ends this process for us all the same.
            MarkExited(ProcessExit.Lost(error.Message));
        }
    }

    private async Task AfterKillAsync()
    {
        await _killed.Task;
        await Task.Delay(KilledPatience);
    }
}
