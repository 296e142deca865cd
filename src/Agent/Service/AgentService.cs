using System.Collections.Concurrent;
using System.Threading.Channels;
using Google.Protobuf.WellKnownTypes;
using KataLike.Agent.Cgroups;
using KataLike.Agent.Containers;
using KataLike.Agent.Network;
using KataLike.Agent.Streams;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>agent.proto over the containers of this machine. Calls run beside each other, on pool threads.</summary>
internal sealed class AgentService(EventLoop loop, Reaper reaper, Containers.Containers maker, PodNetwork network) : IAgent, IDisposable
{
    private const int MaxSignal = 64;

    // A null holds the id of a container that is being made.
    private readonly ConcurrentDictionary<string, HostedContainer?> _containers = new();
    private readonly Channel<string> _outOfMemory = Channel.CreateUnbounded<string>();
    private SandboxNamespaces? _namespaces;

    /// <summary>The machine is to be saved once the host has closed the connection.</summary>
    public bool Withdrawn { get; set; }

    // The first container's id while it has namespaces and no process.
    private string? _held;

    /// <summary>Does what every sandbox needs and none decides, in a machine that is to be saved.</summary>
    public async Task PrepareAsync()
    {
        network.Prepare();
        Sandbox.MountSharedMemory();
        DeviceProgram.LoadUsual();
        using var rehearsed = new AgentService(loop, reaper, maker, network);
        await Rehearsal.RunAsync(loop, rehearsed);
    }

    /// <summary>To be called when it has no container any more.</summary>
    public void Dispose() => _namespaces?.Dispose();

    public Task<SetUpSandboxResponse> SetUpSandbox(SetUpSandboxRequest request, TtrpcContext context) =>
        Done("sandbox set up", Sandbox.SetUp(request));

    public Task<CreateContainerResponse> CreateContainer(CreateContainerRequest request, TtrpcContext context)
    {
        Agent.Timeline.Mark("asked for a container");
        Ids.Check(request.Id, "container ID");
        if (!_containers.TryAdd(request.Id, null))
        {
            throw new TtrpcException(StatusCode.AlreadyExists, "container with given ID already exists");
        }
        try
        {
            if (request.OnlyNamespaces)
            {
                Hold(request);
                _containers.TryRemove(request.Id, out _);
                return Task.FromResult(new CreateContainerResponse());
            }
            var container = Create(request);
            _containers[request.Id] = container;
            return Done("container made", new CreateContainerResponse { Pid = (uint)container.Pid });
        }
        catch
        {
            _containers.TryRemove(request.Id, out _);
            Release(request.Id);
            throw;
        }
    }

    public Task<StartContainerResponse> StartContainer(StartContainerRequest request, TtrpcContext context)
    {
        Agent.Timeline.Mark("asked to start it");
        Find(request.Id).Start(reaper);
        return Done("container runs its program", new StartContainerResponse());
    }

    public Task<ExecResponse> Exec(ExecRequest request, TtrpcContext context)
    {
        Ids.Check(request.ExecId, "exec ID");
        var container = Find(request.Id);
        var process = ProcessSpec.Parse(request.Process.Span);
        var pid = container.Exec(request.ExecId, process, ProcessStreams.Open(loop, request.Streams), reaper);
        return Task.FromResult(new ExecResponse { Pid = (uint)pid });
    }

    public async Task<DeleteResponse> Delete(DeleteRequest request, TtrpcContext context)
    {
        var container = Find(request.Id);
        if (request.ExecId.Length > 0)
        {
            container.DeleteExec(request.ExecId);
            return new DeleteResponse();
        }
        await container.DeleteAsync();
        if (_containers.TryRemove(request.Id, out _))
        {
            container.Dispose();
            Release(request.Id);
        }
        return new DeleteResponse();
    }

    public Task<SetNetworkResponse> SetNetwork(SetNetworkRequest request, TtrpcContext context)
    {
        Agent.Timeline.Mark("asked for a network");
        network.Set(request);
        return Done("network set up", new SetNetworkResponse());
    }

    public Task<SignalResponse> Signal(SignalRequest request, TtrpcContext context)
    {
        if (request.Signal > MaxSignal)
        {
            throw new TtrpcException(StatusCode.InvalidArgument, $"unknown signal {request.Signal}");
        }
        Find(request.Id).Signal(request.ExecId, (int)request.Signal, request.All);
        return Task.FromResult(new SignalResponse());
    }

    public async Task<WaitResponse> Wait(WaitRequest request, TtrpcContext context)
    {
        var end = await Find(request.Id).Process(request.ExecId).End.WaitAsync(context.CancellationToken);
        return new WaitResponse
        {
            ExitStatus = (uint)end.Exit.Code,
            ExitedAt = Timestamp.FromDateTimeOffset(end.Exit.At),
            OomKilled = end.OutOfMemory,
            StreamsHeld = end.StreamsHeld,
        };
    }

    public Task<ResizeResponse> Resize(ResizeRequest request, TtrpcContext context)
    {
        Find(request.Id).Process(request.ExecId).Resize(request.Columns, request.Rows);
        return Task.FromResult(new ResizeResponse());
    }

    public Task<ProcessesResponse> Processes(ProcessesRequest request, TtrpcContext context) =>
        Task.FromResult(Find(request.Id).Processes());

    public Task<PauseResponse> Pause(PauseRequest request, TtrpcContext context)
    {
        Find(request.Id).Pause();
        return Task.FromResult(new PauseResponse());
    }

    public Task<ResumeResponse> Resume(ResumeRequest request, TtrpcContext context)
    {
        Find(request.Id).Resume();
        return Task.FromResult(new ResumeResponse());
    }

    public Task<UpdateResponse> Update(UpdateRequest request, TtrpcContext context)
    {
        Find(request.Id).Update(Resources.Parse(request.Resources.Span));
        return Task.FromResult(new UpdateResponse());
    }

    public Task<StatsResponse> Stats(StatsRequest request, TtrpcContext context) =>
        Task.FromResult(Find(request.Id).Stats());

    public Task<UpdateVolumeResponse> UpdateVolume(UpdateVolumeRequest request, TtrpcContext context)
    {
        Volumes.Update(request);
        return Task.FromResult(new UpdateVolumeResponse());
    }

    public Task<ForwardPortResponse> ForwardPort(ForwardPortRequest request, TtrpcContext context)
    {
        if (request.Port is 0 or > ushort.MaxValue)
        {
            throw new TtrpcException(StatusCode.InvalidArgument, $"port {request.Port} does not exist");
        }
        PortForward.Begin(loop, network.Ensure(), (int)request.Port, request.Stream);
        return Task.FromResult(new ForwardPortResponse());
    }

    public Task<ForwardNamesResponse> ForwardNames(ForwardNamesRequest request, TtrpcContext context)
    {
        NameForward.Begin(loop, network.Ensure(), request.Address.Span, request.Stream);
        return Task.FromResult(new ForwardNamesResponse());
    }

    public Task<AdjustClockResponse> AdjustClock(AdjustClockRequest request, TtrpcContext context) =>
        Task.FromResult(new AdjustClockResponse { Nanoseconds = Machine.MoveTime(request.Nanoseconds) });

    public Task<TimelineResponse> Timeline(TimelineRequest request, TtrpcContext context) => Task.FromResult(Agent.Timeline.Answer());

    public Task<SetProcessorsResponse> SetProcessors(SetProcessorsRequest request, TtrpcContext context) =>
        Task.FromResult(new SetProcessorsResponse { Online = (uint)Processors.SetOnline((int)Math.Clamp(request.Count, 1, int.MaxValue)) });

    public async Task<NextEventResponse> NextEvent(NextEventRequest request, TtrpcContext context) =>
        new() { OutOfMemory = await _outOfMemory.Reader.ReadAsync(context.CancellationToken) };

    public Task<WithdrawResponse> Withdraw(WithdrawRequest request, TtrpcContext context)
    {
        if (!_containers.IsEmpty)
        {
            throw new TtrpcException(StatusCode.FailedPrecondition, "the sandbox has a container");
        }
        Sandbox.Unmount();
        Withdrawn = true;
        return Task.FromResult(new WithdrawResponse { Fixed = { FixedMemory.Ranges() } });
    }

    public Task<ShutdownResponse> Shutdown(ShutdownRequest request, TtrpcContext context)
    {
        foreach (var container in _containers.Values)
        {
            container?.Kill();
        }
        _ = PowerOffAsync(context.AnswerSent);
        return Task.FromResult(new ShutdownResponse());
    }

    private static async Task PowerOffAsync(Task answerSent)
    {
        await answerSent;
        try
        {
            Sandbox.Unmount();
        }
        finally
        {
            Boot.PowerOff();
        }
    }

    private static Task<T> Done<T>(string step, T answer)
    {
        Agent.Timeline.Mark(step);
        return Task.FromResult(answer);
    }

    private HostedContainer Find(string id) =>
        _containers.GetValueOrDefault(id) ?? throw new TtrpcException(StatusCode.NotFound, "container does not exist");

    /// <summary>A path is the sandbox's network; the first container has that one too, where there is one before it.</summary>
    private FileDescriptor? NetworkFor(Spec spec) =>
        spec.Linux?.FindNamespace("network") is { Path.Length: > 0 } ? network.Ensure() : _namespaces is null ? network.Namespace : null;

    private void Hold(CreateContainerRequest request)
    {
        if (_namespaces is not null)
        {
            throw new TtrpcException(StatusCode.FailedPrecondition, "the sandbox has a container already");
        }
        var spec = Spec.Parse(request.Config.Span);
        var joined = NetworkFor(spec);
        var plan = ContainerPlan.From(new ContainerRequest
        {
            Id = request.Id,
            Spec = spec,
            Rootfs = "/",
            MountSources = Overlays.Sources(request.Overlay ?? new Overlay()),
            Network = joined,
            Stdio = new Stdio(),
            Seccomp = request.Seccomp,
            Bundle = request.Bundle,
            Adopt = _ => throw new InvalidOperationException(),
        });
        _namespaces = Creation.Hold(plan, joined);
        network.Adopt(_namespaces[Namespaces.Network]);
        _held = request.Id;
    }

    private HostedContainer Create(CreateContainerRequest request)
    {
        var spec = Spec.Parse(request.Config.Span);
        var overlay = request.Overlay ?? new Overlay();
        var streams = ProcessStreams.Open(loop, request.Streams);
        try
        {
            Agent.Timeline.Mark("its specification read");
            MemoryVolumes.Make(overlay);
            var (rootfs, sources) = (Overlays.Rootfs(overlay), Overlays.Sources(overlay));
            SharedPlaces.Take(request.Id, sources.Values.Prepend(rootfs));
            using var launch = reaper.BeginLaunch();
            var container = maker.Create(new ContainerRequest
            {
                Id = request.Id,
                Spec = spec,
                Rootfs = rootfs,
                MountSources = sources,
                Disks = BlockDevices.Find(overlay),
                Stdio = streams.Stdio,
                Sandbox = _namespaces,
                Network = NetworkFor(spec),
                Completes = _held == request.Id,
                Processes = request.ProcessesOf.Length > 0 ? Find(request.ProcessesOf).Container.Namespaces[Namespaces.Pid] : null,
                Seccomp = request.Seccomp,
                Bundle = request.Bundle,
                Adopt = launch.Adopt,
            });
            if (!request.Rehearsal)
            {
                Found(request.Id, container);
            }
            container.Cgroup.WatchMemoryEvents(() => _outOfMemory.Writer.TryWrite(request.Id));
            return new HostedContainer(container, streams, launch.Adopt(container.Process.Pid));
        }
        catch
        {
            streams.Dispose();
            throw;
        }
    }

    /// <summary>Lets go of what a container that is no more had of the host and of the sandbox.</summary>
    private static void Release(string id)
    {
        Volumes.RemoveAll(id);
        SharedPlaces.Release(id);
    }

    /// <summary>The first container's namespaces are those that others can share.</summary>
    private void Found(string id, Container container)
    {
        if (_namespaces is null || _held == id)
        {
            // The object that this one takes the place of may be in use, and is let live: there is one at most.
            _namespaces = container.Namespaces.Duplicate();
            _held = null;
        }
        network.Adopt(_namespaces[Namespaces.Network]);
    }
}
