using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Agent;

/// <summary>The host's side of agent.proto: one method for each RPC. Errors are those of <see cref="TtrpcClient"/>.</summary>
public sealed class AgentClient(TtrpcClient connection)
{
    private const string Service = AgentServiceTable.ServiceName;

    public TtrpcClient Connection { get; } = connection;

    public Task<SetUpSandboxResponse> SetUpSandboxAsync(
        SetUpSandboxRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "SetUpSandbox", request, SetUpSandboxResponse.Parser, cancel);

    public Task<CreateContainerResponse> CreateContainerAsync(
        CreateContainerRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "CreateContainer", request, CreateContainerResponse.Parser, cancel);

    public Task<StartContainerResponse> StartContainerAsync(
        StartContainerRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "StartContainer", request, StartContainerResponse.Parser, cancel);

    public Task<ExecResponse> ExecAsync(ExecRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Exec", request, ExecResponse.Parser, cancel);

    public Task<DeleteResponse> DeleteAsync(DeleteRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Delete", request, DeleteResponse.Parser, cancel);

    public Task<SetNetworkResponse> SetNetworkAsync(SetNetworkRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "SetNetwork", request, SetNetworkResponse.Parser, cancel);

    public Task<SignalResponse> SignalAsync(SignalRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Signal", request, SignalResponse.Parser, cancel);

    public Task<WaitResponse> WaitAsync(WaitRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Wait", request, WaitResponse.Parser, cancel);

    public Task<ResizeResponse> ResizeAsync(ResizeRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Resize", request, ResizeResponse.Parser, cancel);

    public Task<ProcessesResponse> ProcessesAsync(ProcessesRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Processes", request, ProcessesResponse.Parser, cancel);

    public Task<PauseResponse> PauseAsync(PauseRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Pause", request, PauseResponse.Parser, cancel);

    public Task<ResumeResponse> ResumeAsync(ResumeRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Resume", request, ResumeResponse.Parser, cancel);

    public Task<UpdateResponse> UpdateAsync(UpdateRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Update", request, UpdateResponse.Parser, cancel);

    public Task<StatsResponse> StatsAsync(StatsRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Stats", request, StatsResponse.Parser, cancel);

    public Task<UpdateVolumeResponse> UpdateVolumeAsync(UpdateVolumeRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "UpdateVolume", request, UpdateVolumeResponse.Parser, cancel);

    public Task<ForwardNamesResponse> ForwardNamesAsync(ForwardNamesRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "ForwardNames", request, ForwardNamesResponse.Parser, cancel);

    public Task<ForwardPortResponse> ForwardPortAsync(ForwardPortRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "ForwardPort", request, ForwardPortResponse.Parser, cancel);

    public Task<AdjustClockResponse> AdjustClockAsync(AdjustClockRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "AdjustClock", request, AdjustClockResponse.Parser, cancel);

    public Task<TimelineResponse> TimelineAsync(TimelineRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Timeline", request, TimelineResponse.Parser, cancel);

    public Task<SetProcessorsResponse> SetProcessorsAsync(SetProcessorsRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "SetProcessors", request, SetProcessorsResponse.Parser, cancel);

    public Task<NextEventResponse> NextEventAsync(NextEventRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "NextEvent", request, NextEventResponse.Parser, cancel);

    public Task<WithdrawResponse> WithdrawAsync(WithdrawRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Withdraw", request, WithdrawResponse.Parser, cancel);

    public Task<ShutdownResponse> ShutdownAsync(ShutdownRequest request, CancellationToken cancel = default) =>
        Connection.CallAsync(Service, "Shutdown", request, ShutdownResponse.Parser, cancel);
}
