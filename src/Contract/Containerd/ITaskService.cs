using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Containerd.TaskV2;

/// <summary>What a shim serves to containerd, and a sandbox to the command line.</summary>
public interface ITaskService
{
    Task<StateResponse> State(StateRequest request, TtrpcContext context);

    Task<CreateTaskResponse> Create(CreateTaskRequest request, TtrpcContext context);

    Task<StartResponse> Start(StartRequest request, TtrpcContext context);

    Task<DeleteResponse> Delete(DeleteRequest request, TtrpcContext context);

    Task<PidsResponse> Pids(PidsRequest request, TtrpcContext context);

    Task<Empty> Pause(PauseRequest request, TtrpcContext context);

    Task<Empty> Resume(ResumeRequest request, TtrpcContext context);

    Task<Empty> Checkpoint(CheckpointTaskRequest request, TtrpcContext context);

    Task<Empty> Kill(KillRequest request, TtrpcContext context);

    Task<Empty> Exec(ExecProcessRequest request, TtrpcContext context);

    Task<Empty> ResizePty(ResizePtyRequest request, TtrpcContext context);

    Task<Empty> CloseIO(CloseIORequest request, TtrpcContext context);

    Task<Empty> Update(UpdateTaskRequest request, TtrpcContext context);

    Task<WaitResponse> Wait(WaitRequest request, TtrpcContext context);

    Task<StatsResponse> Stats(StatsRequest request, TtrpcContext context);

    Task<ConnectResponse> Connect(ConnectRequest request, TtrpcContext context);

    Task<Empty> Shutdown(ShutdownRequest request, TtrpcContext context);
}
