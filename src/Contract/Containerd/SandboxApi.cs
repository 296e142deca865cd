using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Containerd.SandboxV1;

/// <summary>containerd's Sandbox service: a pod's sandbox that is no container.</summary>
public interface ISandboxApi
{
    Task<CreateSandboxResponse> Create(CreateSandboxRequest request, TtrpcContext context);

    Task<StartSandboxResponse> Start(StartSandboxRequest request, TtrpcContext context);

    Task<PlatformResponse> Platform(PlatformRequest request, TtrpcContext context);

    Task<StopSandboxResponse> Stop(StopSandboxRequest request, TtrpcContext context);

    Task<WaitSandboxResponse> Wait(WaitSandboxRequest request, TtrpcContext context);

    Task<SandboxStatusResponse> Status(SandboxStatusRequest request, TtrpcContext context);

    Task<PingResponse> Ping(PingRequest request, TtrpcContext context);

    Task<ShutdownSandboxResponse> Shutdown(ShutdownSandboxRequest request, TtrpcContext context);

    Task<SandboxMetricsResponse> Metrics(SandboxMetricsRequest request, TtrpcContext context);
}

/// <summary>Registers an <see cref="ISandboxApi"/> with a <see cref="TtrpcServer"/>.</summary>
public static class SandboxApiTable
{
    public const string ServiceName = "containerd.runtime.sandbox.v1.Sandbox";

    public static TtrpcService For(ISandboxApi service) => new TtrpcService(ServiceName)
        .Method("CreateSandbox", CreateSandboxRequest.Parser, service.Create)
        .Method("StartSandbox", StartSandboxRequest.Parser, service.Start)
        .Method("Platform", PlatformRequest.Parser, service.Platform)
        .Method("StopSandbox", StopSandboxRequest.Parser, service.Stop)
        .Method("WaitSandbox", WaitSandboxRequest.Parser, service.Wait)
        .Method("SandboxStatus", SandboxStatusRequest.Parser, service.Status)
        .Method("PingSandbox", PingRequest.Parser, service.Ping)
        .Method("ShutdownSandbox", ShutdownSandboxRequest.Parser, service.Shutdown)
        .Method("SandboxMetrics", SandboxMetricsRequest.Parser, service.Metrics);
}
