using System.Collections.Concurrent;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.Runc;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Storage;
using Process = KataLike.Runtime.Sandboxes.Process;

namespace KataLike.Runtime.Shim;

/// <summary>
/// containerd's Task API over a sandbox, for containerd and the command line alike, with the refusals of containerd's runc
/// shim. Errors of the sandbox are statuses already and pass unchanged.
/// </summary>
/// <remarks>
/// No process has a pid of the guest, which on the host would name someone else's: callers read /proc and hand pids to ps. It is
/// the sandbox's (<see cref="Sandboxes.Sandbox.HostPid"/>); of a pod's containers that of a thread, so that each has its own (<see cref="PidHolder"/>).
/// </remarks>
internal sealed class TaskService : ITaskService
{
    /// <summary>containerd waits 3 seconds for Shutdown.</summary>
    private static readonly TimeSpan ShutdownTime = TimeSpan.FromSeconds(2.5);

    private const uint MaxSignal = 64;
    private static readonly Empty Nothing = new();

    private readonly Sandboxes.Sandbox _sandbox;
    private readonly ContainerdStreams _streams;
    private readonly TaskEvents _events;
    private readonly Action _stoppingBegins;
    private readonly ConcurrentDictionary<(string Container, string Exec), TaskProcess> _processes = [];
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly Lock _lock = new();
    private int _creating;
    private bool _stopping;

    /// <param name="publisher">Null where nobody wants events.</param>
    /// <param name="stopping">Called once, when a shutdown begins: nobody shall find the sandbox any more.</param>
    /// <param name="record">Writes a container's end down, before whoever deletes the container gets an answer.</param>
    public TaskService(
        Sandboxes.Sandbox sandbox, ContainerdStreams streams, EventPublisher? publisher, Action stopping, Action<string, ProcessExit>? record = null)
    {
        (_sandbox, _streams, _events, _stoppingBegins) = (sandbox, streams, new TaskEvents(publisher, record), stopping);
        sandbox.Happened += happened =>
        {
            if (happened is SandboxEvent.OutOfMemory)
                _events.OutOfMemory(happened.ContainerId);
        };
    }

    /// <summary>Completes when Shutdown has stopped the sandbox and has been answered: the time for the process to end.</summary>
    public Task Finished => _finished.Task;

    /// <summary>Completes when the ends of all containers that have ended are written down.</summary>
    public Task Recorded => Task.WhenAll(_processes.Values.Where(process => process.Process.Exited.IsCompleted).Select(process => process.Recorded));

    private uint Pid => (uint)_sandbox.HostPid;

    private uint PidOf(string id) => (uint)_sandbox.Get(id).HostPid;

    public async Task<CreateTaskResponse> Create(CreateTaskRequest request, TtrpcContext context)
    {
        if (request.Checkpoint.Length > 0)
            throw new TtrpcException(StatusCode.Unimplemented, "restore from a checkpoint is not supported");
        BeginCreate();
        try
        {
            var names = new StreamNames(request.Terminal, request.Stdin, request.Stdout, request.Stderr);
            var rootfs = request.Rootfs.Select(mount => new RootfsMount(mount.Type, mount.Source, [.. mount.Options])).ToList();
            var init = await WithStreamsAsync(request.Id, names, async streams =>
            {
                var container = await _sandbox.CreateAsync(
                    new ContainerRequest(request.Id, request.Bundle, rootfs, streams), context.CancellationToken);
                return container.Init;
            });
            _processes[(request.Id, "")] = init;
            var pid = PidOf(request.Id);
            _events.Created(request, pid);
            init.Report(_events, pid, () => Execs(request.Id));
            return new CreateTaskResponse { Pid = pid };
        }
        finally
        {
            lock (_lock)
                _creating--;
        }
    }

    public async Task<StartResponse> Start(StartRequest request, TtrpcContext context)
    {
        var (process, pid) = (Find(request.Id, request.ExecId), PidOf(request.Id));
        await process.StartAsync(_events, pid, context.CancellationToken);
        if (request.ExecId.Length > 0)
            process.Report(_events, pid, () => []);
        return new StartResponse { Pid = pid };
    }

    public async Task<Empty> Exec(ExecProcessRequest request, TtrpcContext context)
    {
        var container = _sandbox.Get(request.Id);
        if (request.ExecId.Length == 0)
            throw new TtrpcException(StatusCode.InvalidArgument, "exec id is empty");
        if (_processes.ContainsKey((request.Id, request.ExecId)))
            throw new TtrpcException(StatusCode.AlreadyExists, $"id {request.ExecId}");
        var names = new StreamNames(request.Terminal, request.Stdin, request.Stdout, request.Stderr);
        var specification = request.Spec?.Value.ToByteArray() ?? [];
        // FIFOs are opened at Start, as containerd's shim does: until then ctr cannot have closed stdin, whose end it
        // tells by a CloseIO that it sends only once Exec has answered.
        var process = names.IsStub
            ? await WithStreamsAsync(request.Id, names, streams => Task.FromResult(container.AddExec(request.ExecId, specification, streams)))
            : new TaskProcess(request.Id, container.AddExec(request.ExecId, specification, new ProcessStreams(request.Terminal, null, null, null)), names)
            {
                Open = () => _streams.Open(names, request.ExecId),
            };
        _processes[(request.Id, request.ExecId)] = process;
        _events.ExecAdded(request.Id, request.ExecId);
        return Nothing;
    }

    public async Task<DeleteResponse> Delete(DeleteRequest request, TtrpcContext context)
    {
        var (process, pid) = (Find(request.Id, request.ExecId), PidOf(request.Id));
        if (process.Process.State == ProcessState.Running)
            throw new TtrpcException(StatusCode.FailedPrecondition, "cannot delete a running process");
        if (request.ExecId.Length > 0)
            await process.Process.DeleteAsync();
        else
            await _sandbox.Get(request.Id).DeleteAsync();
        await process.Reported.WaitAsync(context.CancellationToken);
        await process.EndStreamsAsync();
        _ = _processes.TryRemove((request.Id, request.ExecId), out _);

        var exit = Exit(process.Process);
        var response = new DeleteResponse { Pid = pid, ExitStatus = exit?.Status ?? 0, ExitedAt = At(exit) };
        if (request.ExecId.Length == 0)
        {
            foreach (var exec in Execs(request.Id))
            {
                if (_processes.TryRemove((request.Id, exec.Process.ExecId), out _))
                    _ = exec.EndStreamsAsync();
            }
            _events.Deleted(request.Id, response);
        }
        return response;
    }

    public Task<StateResponse> State(StateRequest request, TtrpcContext context)
    {
        var container = _sandbox.Get(request.Id);
        var process = Find(request.Id, request.ExecId);
        var exit = Exit(process.Process);
        return Task.FromResult(new StateResponse
        {
            Id = request.ExecId.Length == 0 ? request.Id : request.ExecId,
            ExecId = request.ExecId,
            Bundle = container.Bundle,
            Pid = PidOf(request.Id),
            Status = StatusOf(container, process.Process),
            Stdin = process.Names.Stdin,
            Stdout = process.Names.Stdout,
            Stderr = process.Names.Stderr,
            Terminal = process.Names.Terminal,
            ExitStatus = exit?.Status ?? 0,
            ExitedAt = At(exit),
        });
    }

    public Task<PidsResponse> Pids(PidsRequest request, TtrpcContext context)
    {
        var pid = PidOf(request.Id);
        var response = new PidsResponse();
        response.Processes.Add(new ProcessInfo { Pid = pid });
        foreach (var exec in Execs(request.Id).Where(exec => exec.Process.State == ProcessState.Running))
        {
            var details = new ProcessDetails { ExecId = exec.Process.ExecId };
            var own = exec.Process.Streams.Pid;
            response.Processes.Add(new ProcessInfo { Pid = own > 0 ? (uint)own : pid, Info = TypeUrl.Pack(TypeUrl.ProcessDetails, details) });
        }
        return Task.FromResult(response);
    }

    public async Task<Empty> Pause(PauseRequest request, TtrpcContext context)
    {
        await _sandbox.Get(request.Id).PauseAsync();
        _events.Paused(request.Id);
        return Nothing;
    }

    public async Task<Empty> Resume(ResumeRequest request, TtrpcContext context)
    {
        await _sandbox.Get(request.Id).ResumeAsync();
        _events.Resumed(request.Id);
        return Nothing;
    }

    public Task<Empty> Checkpoint(CheckpointTaskRequest request, TtrpcContext context) =>
        throw new TtrpcException(StatusCode.Unimplemented, "checkpoint is not supported");

    public async Task<Empty> Kill(KillRequest request, TtrpcContext context)
    {
        var process = Find(request.Id, request.ExecId).Process;
        if (request.Signal > MaxSignal)
            throw new TtrpcException(StatusCode.InvalidArgument, $"signal {request.Signal} does not exist");
        if (process.State == ProcessState.Stopped)
            throw new TtrpcException(StatusCode.NotFound, "process already finished");
        await process.SignalAsync(request.Signal, request.All);
        return Nothing;
    }

    public async Task<Empty> ResizePty(ResizePtyRequest request, TtrpcContext context)
    {
        await Find(request.Id, request.ExecId).Process.ResizeAsync(request.Width, request.Height);
        return Nothing;
    }

    public Task<Empty> CloseIO(CloseIORequest request, TtrpcContext context)
    {
        var process = Find(request.Id, request.ExecId);
        if (request.Stdin)
            process.CloseInput();
        return Task.FromResult(Nothing);
    }

    public async Task<Empty> Update(UpdateTaskRequest request, TtrpcContext context)
    {
        await _sandbox.Get(request.Id).UpdateAsync(request.Resources?.Value.ToByteArray() ?? []);
        return Nothing;
    }

    public async Task<WaitResponse> Wait(WaitRequest request, TtrpcContext context)
    {
        var exit = await Find(request.Id, request.ExecId).Process.Exited.WaitAsync(context.CancellationToken);
        return new WaitResponse { ExitStatus = exit.Status, ExitedAt = At(exit) };
    }

    public async Task<StatsResponse> Stats(StatsRequest request, TtrpcContext context) =>
        new() { Stats = CgroupMetrics.Pack(await _sandbox.Get(request.Id).StatsAsync()) };

    public Task<ConnectResponse> Connect(ConnectRequest request, TtrpcContext context) => Task.FromResult(
        new ConnectResponse { ShimPid = (uint)Environment.ProcessId, TaskPid = (uint?)_sandbox.Containers.FirstOrDefault(container => container.Id == request.Id)?.HostPid ?? Pid });

    /// <summary>Stops the machine, unless a container is still there, and answers when it is gone or 2.5 seconds have passed.</summary>
    public async Task<Empty> Shutdown(ShutdownRequest request, TtrpcContext context)
    {
        lock (_lock)
        {
            if (_stopping || !request.Now && (_creating > 0 || _sandbox.Containers.Count > 0))
                return Nothing;
            _stopping = true;
        }
        _stoppingBegins();
        var shutdown = _sandbox.ShutdownAsync();
        _ = await Task.WhenAny(shutdown, Task.Delay(ShutdownTime));
        _ = Task.WhenAll(shutdown, context.AnswerSent).ContinueWith(_ => _finished.TrySetResult(), TaskScheduler.Default);
        return Nothing;
    }

    /// <summary>Deletes an exec that has ended, for a stub: those have no client that would.</summary>
    public async Task ForgetExecAsync(string id, string execId)
    {
        if (!_processes.TryRemove((id, execId), out var exec))
            return;
        await exec.Process.DeleteAsync();
        exec.CloseInput();
    }

    private void BeginCreate()
    {
        lock (_lock)
        {
            if (_stopping)
                throw new TtrpcException(StatusCode.Unavailable, "the sandbox is shutting down");
            _creating++;
        }
    }

    /// <summary>Opens the streams and makes the process that takes them over; closes them where that fails.</summary>
    private async Task<TaskProcess> WithStreamsAsync(string id, StreamNames names, Func<ProcessStreams, Task<Process>> make)
    {
        var opened = _streams.Open(names, id);
        try
        {
            return new TaskProcess(id, await make(opened.Streams), names, opened);
        }
        catch (Exception e)
        {
            opened.Streams.Dispose();
            opened.StdinHold?.Dispose();
            opened.Logger?.Dispose();
            if (e is VmException)
                throw new TtrpcException(StatusCode.Unavailable, e.Message, e);
            throw;
        }
    }

    private TaskProcess Find(string id, string execId)
    {
        if (_processes.TryGetValue((id, execId), out var process))
            return process;
        _ = _sandbox.Get(id);
        throw new TtrpcException(StatusCode.NotFound, $"process does not exist {execId}");
    }

    private IEnumerable<TaskProcess> Execs(string id) =>
        _processes.Where(entry => entry.Key.Container == id && entry.Key.Exec.Length > 0).Select(entry => entry.Value);

    private static Status StatusOf(Container container, Process process) => process.State switch
    {
        ProcessState.Created => Status.Created,
        ProcessState.Stopped => Status.Stopped,
        _ => container.Status == ContainerStatus.Paused ? Status.Paused : Status.Running,
    };

    private static ProcessExit? Exit(Process process) =>
        process.Exited.IsCompletedSuccessfully ? process.Exited.Result : null;

    private static Timestamp? At(ProcessExit? exit) => exit is { } known ? Timestamp.FromDateTimeOffset(known.At) : null;
}
