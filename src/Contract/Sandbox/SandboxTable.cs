using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Sandbox;

/// <summary>The service of sandbox.proto.</summary>
public interface ISandboxService
{
    Task<ProcessesResponse> Processes(ProcessesRequest request, TtrpcContext context);

    Task<StatsResponse> Stats(StatsRequest request, TtrpcContext context);

    Task<OutOfMemoryResponse> OutOfMemory(OutOfMemoryRequest request, TtrpcContext context);
}

/// <summary>Its calls, and its registration with a <see cref="TtrpcServer"/>. Errors are those of <see cref="TtrpcClient"/>.</summary>
public static class SandboxTable
{
    public const string ServiceName = "katalike.sandbox.v1.Sandbox";

    public static TtrpcService For(ISandboxService service) => new TtrpcService(ServiceName)
        .Method("Processes", ProcessesRequest.Parser, service.Processes)
        .Method("Stats", StatsRequest.Parser, service.Stats)
        .Method("OutOfMemory", OutOfMemoryRequest.Parser, service.OutOfMemory);

    public static Task<ProcessesResponse> ProcessesAsync(TtrpcClient client, string container, CancellationToken cancel) =>
        client.CallAsync(ServiceName, "Processes", new ProcessesRequest { Id = container }, ProcessesResponse.Parser, cancel);

    public static Task<StatsResponse> StatsAsync(TtrpcClient client, string container, CancellationToken cancel) =>
        client.CallAsync(ServiceName, "Stats", new StatsRequest { Id = container }, StatsResponse.Parser, cancel);

    public static Task<OutOfMemoryResponse> OutOfMemoryAsync(TtrpcClient client, string container, ulong seen, CancellationToken cancel) =>
        client.CallAsync(
            ServiceName, "OutOfMemory", new OutOfMemoryRequest { Id = container, Seen = seen }, OutOfMemoryResponse.Parser, cancel);
}
