using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Sandboxes;

/// <summary>A container of a sandbox. Thread-safe; what changes its status is done one at a time.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "a semaphore that nobody polls owns nothing")]
internal sealed class Container
{
    private readonly Sandbox _sandbox;
    private readonly SemaphoreSlim _changing = new(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Process> _execs = [];
    private ContainerStatus _status;

    internal Container(Sandbox sandbox, ContainerRequest request)
    {
        _sandbox = sandbox;
        (Id, Bundle) = (request.Id, request.Bundle);
        Init = new Process(sandbox, this, "", request.Streams, null);
    }

    public string Id { get; }

    public string Bundle { get; }

    public Process Init { get; }

    public ContainerStatus Status
    {
        get
        {
            lock (_lock)
                return _status;
        }
    }

    /// <summary>The first process for an empty id.</summary>
    /// <exception cref="TtrpcException">NotFound.</exception>
    public Process Get(string execId)
    {
        if (execId.Length == 0)
            return Init;
        lock (_lock)
            return _execs.TryGetValue(execId, out var process)
                ? process
                : throw new TtrpcException(StatusCode.NotFound, $"process {execId} does not exist");
    }

    public Task StartAsync(CancellationToken cancel) => ChangeAsync(ContainerAction.Start, async () =>
    {
        await _sandbox.CallAsync((agent, stop) => agent.StartContainerAsync(new StartContainerRequest { Id = Id }, stop), cancel);
        Init.MarkRunning();
    }, cancel);

    /// <summary>Adds a process, which its StartAsync then starts. Its streams are taken over, also when this throws.</summary>
    public Process AddExec(string execId, byte[] processJson, ProcessStreams streams)
    {
        try
        {
            StateRoot.ValidateId(execId);
            Require(ContainerAction.Exec);
            var process = new Process(_sandbox, this, execId, streams, processJson);
            lock (_lock)
                return _execs.TryAdd(execId, process)
                    ? process
                    : throw new TtrpcException(StatusCode.AlreadyExists, $"id {execId}");
        }
        catch
        {
            streams.Dispose();
            throw;
        }
    }

    public Task PauseAsync(CancellationToken cancel = default) => ChangeAsync(
        ContainerAction.Pause,
        () => _sandbox.CallAsync((agent, stop) => agent.PauseAsync(new PauseRequest { Id = Id }, stop), cancel), cancel);

    public Task ResumeAsync(CancellationToken cancel = default) => ChangeAsync(
        ContainerAction.Resume,
        () => _sandbox.CallAsync((agent, stop) => agent.ResumeAsync(new ResumeRequest { Id = Id }, stop), cancel), cancel);

    public Task UpdateAsync(byte[] resourcesJson, CancellationToken cancel = default)
    {
        Require(ContainerAction.Update);
        var request = new UpdateRequest { Id = Id, Resources = ByteString.CopyFrom(resourcesJson) };
        return _sandbox.CallAsync((agent, stop) => agent.UpdateAsync(request, stop), cancel);
    }

    public Task<StatsResponse> StatsAsync(CancellationToken cancel = default) =>
        _sandbox.CallAsync((agent, stop) => agent.StatsAsync(new StatsRequest { Id = Id }, stop), cancel);

    public Task<ProcessesResponse> ProcessesAsync(CancellationToken cancel = default) =>
        _sandbox.CallAsync((agent, stop) => agent.ProcessesAsync(new ProcessesRequest { Id = Id }, stop), cancel);

    /// <summary>Frees a stopped container; one that was never started is killed first.</summary>
    public Task DeleteAsync(CancellationToken cancel = default) => ChangeAsync(ContainerAction.Delete, async () =>
    {
        if (Status == ContainerStatus.Created)
        {
            await Init.SignalAsync(9, all: true, cancel);
            await Init.Exited.WaitAsync(Sandbox.AnswerPatience, cancel);
        }
        if (!_sandbox.Died.IsCompleted)
            await _sandbox.CallAsync((agent, stop) => agent.DeleteAsync(new DeleteRequest { Id = Id }, stop), cancel);
        await _sandbox.ForgetAsync(this);
    }, cancel);

    /// <summary>Makes it in the guest, parked before execve.</summary>
    internal async Task CreateAsync(Bundle bundle, SharePlan plan, CancellationToken cancel)
    {
        var request = new CreateContainerRequest
        {
            Id = Id,
            Config = ByteString.CopyFrom(bundle.Config),
            Overlay = plan.Overlay,
            Seccomp = Seccomp(bundle),
            Bundle = bundle.Directory,
            Streams = Init.OpenStreams(),
        };
        var answer = await _sandbox.CallAsync((agent, stop) => agent.CreateContainerAsync(request, stop), cancel);
        Init.Begin(answer.Pid);
    }

    private static Contract.Agent.SeccompProgram? Seccomp(Bundle bundle) =>
        bundle.Spec.Linux?.Seccomp is { } profile && SeccompProgram.Compile(profile) is var (code, flags)
            ? new Contract.Agent.SeccompProgram { Code = UnsafeByteOperations.UnsafeWrap(code), Flags = flags } : null;

    /// <exception cref="TtrpcException">FailedPrecondition: the status does not allow the action.</exception>
    internal void Require(ContainerAction action) => Lifecycle.After(Status, action, Id);

    internal void Forget(string execId)
    {
        lock (_lock)
            _execs.Remove(execId);
    }

    /// <summary>The first process has ended; the kernel of the guest has killed the others with its pid namespace.</summary>
    internal void MarkStopped()
    {
        lock (_lock)
            _status = ContainerStatus.Stopped;
    }

    /// <summary>The machine is gone, or the container never came to be.</summary>
    internal void MarkAllExited(ProcessExit exit)
    {
        List<Process> execs;
        lock (_lock)
            execs = [.. _execs.Values];
        foreach (var process in execs)
            process.MarkExited(exit);
        Init.MarkExited(exit);
    }

    private async Task ChangeAsync(ContainerAction action, Func<Task> change, CancellationToken cancel)
    {
        await _changing.WaitAsync(cancel);
        try
        {
            var next = Lifecycle.After(Status, action, Id);
            await change();
            lock (_lock)
                _status = _status == ContainerStatus.Stopped ? _status : next;
        }
        finally
        {
            _changing.Release();
        }
    }
}
