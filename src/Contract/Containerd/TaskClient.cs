using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Containerd.TaskV2;

/// <summary>Calls the Task service of a sandbox: one method for each RPC. Errors are those of <see cref="TtrpcClient"/>.</summary>
public sealed class TaskClient(TtrpcClient connection, string service = TaskServiceTable.ServiceV2)
{
    public TtrpcClient Connection { get; } = connection;

    public Task<StateResponse> StateAsync(StateRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "State", request, StateResponse.Parser, cancel);

    public Task<CreateTaskResponse> CreateAsync(CreateTaskRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Create", request, CreateTaskResponse.Parser, cancel);

    public Task<StartResponse> StartAsync(StartRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Start", request, StartResponse.Parser, cancel);

    public Task<DeleteResponse> DeleteAsync(DeleteRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Delete", request, DeleteResponse.Parser, cancel);

    public Task<PidsResponse> PidsAsync(PidsRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Pids", request, PidsResponse.Parser, cancel);

    public Task<Empty> PauseAsync(PauseRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Pause", request, Empty.Parser, cancel);

    public Task<Empty> ResumeAsync(ResumeRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Resume", request, Empty.Parser, cancel);

    public Task<Empty> CheckpointAsync(CheckpointTaskRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Checkpoint", request, Empty.Parser, cancel);

    public Task<Empty> KillAsync(KillRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Kill", request, Empty.Parser, cancel);

    public Task<Empty> ExecAsync(ExecProcessRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Exec", request, Empty.Parser, cancel);

    public Task<Empty> ResizePtyAsync(ResizePtyRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "ResizePty", request, Empty.Parser, cancel);

    public Task<Empty> CloseIOAsync(CloseIORequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "CloseIO", request, Empty.Parser, cancel);

    public Task<Empty> UpdateAsync(UpdateTaskRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Update", request, Empty.Parser, cancel);

    public Task<WaitResponse> WaitAsync(WaitRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Wait", request, WaitResponse.Parser, cancel);

    public Task<StatsResponse> StatsAsync(StatsRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Stats", request, StatsResponse.Parser, cancel);

    public Task<ConnectResponse> ConnectAsync(ConnectRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Connect", request, ConnectResponse.Parser, cancel);

    public Task<Empty> ShutdownAsync(ShutdownRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(service, "Shutdown", request, Empty.Parser, cancel);
}
