using System.Runtime.InteropServices;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Agent;
using KataLike.Contract.Containerd.SandboxV1;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;
using Container = KataLike.Runtime.Sandboxes.Container;
using ShutdownRequest = KataLike.Contract.Containerd.TaskV2.ShutdownRequest;

namespace KataLike.Runtime.Shim;

/// <summary>
/// containerd's Sandbox API. The sandbox is told in words of the CRI; they are made a bundle like the one that other callers write
/// for a pod's sandbox container, and that container costs the guest nothing.
/// </summary>
/// <param name="bundle">Where the sandbox looks for it.</param>
/// <param name="described">Called when it is there: the machine starts.</param>
internal sealed class PodSandboxService(Sandboxes.Sandbox sandbox, TaskService tasks, string bundle, Action described) : ISandboxApi
{
    private readonly DateTimeOffset _created = DateTimeOffset.UtcNow;
    private Container? _holder;

    public async Task<CreateSandboxResponse> Create(CreateSandboxRequest request, TtrpcContext context)
    {
        StateRoot.ValidateId(request.SandboxId);
        if (!File.Exists(PodBundle.PathIn(bundle)))
            sandbox.PodFiles = PodBundle.Write(bundle, request);
        described();
        var rootfs = request.Rootfs.Select(mount => new Storage.RootfsMount(mount.Type, mount.Source, [.. mount.Options])).ToList();
        _holder = await sandbox.CreateAsync(new ContainerRequest(request.SandboxId, bundle, rootfs, ProcessStreams.None), context.CancellationToken);
        return new CreateSandboxResponse();
    }

    public async Task<StartSandboxResponse> Start(StartSandboxRequest request, TtrpcContext context)
    {
        await Holder.StartAsync(context.CancellationToken);
        return new StartSandboxResponse { Pid = (uint)sandbox.HostPid, CreatedAt = Timestamp.FromDateTimeOffset(_created) };
    }

    public Task<PlatformResponse> Platform(PlatformRequest request, TtrpcContext context) => Task.FromResult(new PlatformResponse
    {
        // The names of Go.
        Platform = new Platform { Os = "linux", Architecture = RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "arm64" : "amd64" },
    });

    public async Task<StopSandboxResponse> Stop(StopSandboxRequest request, TtrpcContext context)
    {
        if (Holder.Init.State != ProcessState.Stopped)
            await Holder.Init.SignalAsync(Signals.SIGKILL, all: true, context.CancellationToken);
        // The guest may have a process for it by now, which takes a moment to end.
        await Holder.Init.Exited.WaitAsync(Sandboxes.Sandbox.AnswerPatience, context.CancellationToken);
        if (sandbox.Containers.Contains(Holder))
            await Holder.DeleteAsync(context.CancellationToken);
        return new StopSandboxResponse();
    }

    public async Task<WaitSandboxResponse> Wait(WaitSandboxRequest request, TtrpcContext context)
    {
        var exit = await Holder.Init.Exited.WaitAsync(context.CancellationToken);
        return new WaitSandboxResponse { ExitStatus = exit.Status, ExitedAt = Timestamp.FromDateTimeOffset(exit.At) };
    }

    public Task<SandboxStatusResponse> Status(SandboxStatusRequest request, TtrpcContext context)
    {
        var exited = Holder.Init.Exited;
        return Task.FromResult(new SandboxStatusResponse
        {
            SandboxId = request.SandboxId,
            Pid = (uint)sandbox.HostPid,
            State = Holder.Init.State == ProcessState.Running ? "SANDBOX_READY" : "SANDBOX_NOTREADY",
            CreatedAt = Timestamp.FromDateTimeOffset(_created),
            ExitedAt = exited.IsCompletedSuccessfully ? Timestamp.FromDateTimeOffset(exited.Result.At) : null,
        });
    }

    public Task<PingResponse> Ping(PingRequest request, TtrpcContext context) => sandbox.Died.IsCompleted
        ? throw new TtrpcException(StatusCode.Unavailable, $"the sandbox is gone: {sandbox.Died.Result}")
        : Task.FromResult(new PingResponse());

    public async Task<ShutdownSandboxResponse> Shutdown(ShutdownSandboxRequest request, TtrpcContext context)
    {
        await tasks.Shutdown(new ShutdownRequest { Id = request.SandboxId, Now = true }, context);
        return new ShutdownSandboxResponse();
    }

    /// <summary>The sums over its containers.</summary>
    public async Task<SandboxMetricsResponse> Metrics(SandboxMetricsRequest request, TtrpcContext context)
    {
        var sum = new StatsResponse { Cpu = new(), Memory = new(), Pids = new() };
        foreach (var container in sandbox.Containers)
        {
            var stats = await container.StatsAsync(context.CancellationToken);
            sum.Cpu.UsageUsec += stats.Cpu?.UsageUsec ?? 0;
            sum.Cpu.UserUsec += stats.Cpu?.UserUsec ?? 0;
            sum.Cpu.SystemUsec += stats.Cpu?.SystemUsec ?? 0;
            sum.Memory.Current += stats.Memory?.Current ?? 0;
            sum.Pids.Current += stats.Pids?.Current ?? 0;
            foreach (var (name, value) in stats.Memory?.Stat ?? [])
                sum.Memory.Stat[name] = sum.Memory.Stat.GetValueOrDefault(name) + value;
        }
        (sum.Memory.Max, sum.Pids.Max) = (ulong.MaxValue, ulong.MaxValue);
        return new SandboxMetricsResponse
        {
            Metrics = new Metric { Id = request.SandboxId, Timestamp = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow), Data = CgroupMetrics.Pack(sum) },
        };
    }

    private Container Holder => _holder ?? throw new TtrpcException(StatusCode.NotFound, "the sandbox has not been created");
}
