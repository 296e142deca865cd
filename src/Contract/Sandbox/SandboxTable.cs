using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Sandbox;

/// <summary>The service of sandbox.proto: its call, and its registration with a <see cref="TtrpcServer"/>.</summary>
public static class SandboxTable
{
    public const string ServiceName = "katalike.sandbox.v1.Sandbox";

    public static TtrpcService For(Func<string, Task<ProcessesResponse>> processes) => new TtrpcService(ServiceName)
        .Method("Processes", ProcessesRequest.Parser, (request, _) => processes(request.Id));

    /// <summary>Errors are those of <see cref="TtrpcClient"/>.</summary>
    public static Task<ProcessesResponse> ProcessesAsync(TtrpcClient client, string container, CancellationToken cancel) =>
        client.CallAsync(ServiceName, "Processes", new ProcessesRequest { Id = container }, ProcessesResponse.Parser, cancel);
}
