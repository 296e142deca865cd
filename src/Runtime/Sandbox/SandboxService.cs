using KataLike.Contract.Agent;
using KataLike.Contract.Sandbox;
using KataLike.Contract.Ttrpc;

namespace KataLike.Runtime.Sandboxes;

/// <summary>sandbox.proto over a sandbox: what the command line asks beyond containerd's Task API.</summary>
internal sealed class SandboxService(Sandbox sandbox) : ISandboxService
{
    public Task<ProcessesResponse> Processes(ProcessesRequest request, TtrpcContext context) =>
        sandbox.Get(request.Id).ProcessesAsync();

    public Task<StatsResponse> Stats(StatsRequest request, TtrpcContext context) => sandbox.Get(request.Id).StatsAsync();

    public async Task<OutOfMemoryResponse> OutOfMemory(OutOfMemoryRequest request, TtrpcContext context)
    {
        var container = sandbox.Get(request.Id);
        while (true)
        {
            var change = sandbox.Changed;
            var (count, ended) = (container.OutOfMemoryKills, container.Init.Exited.IsCompleted);
            if (count > request.Seen || ended)
                return new OutOfMemoryResponse { Count = count, Ended = ended };
            await change.WaitAsync(context.CancellationToken);
        }
    }
}
