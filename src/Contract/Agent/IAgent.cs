using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Agent;

/// <summary>What the agent in the guest serves. A <see cref="TtrpcException"/> gives the status that the host sees.</summary>
public interface IAgent
{
    /// <summary>First call on every connection. Gives the sandbox its name, its shares, the time and entropy.</summary>
    Task<SetUpSandboxResponse> SetUpSandbox(SetUpSandboxRequest request, TtrpcContext context);

    /// <summary>Makes a container from its unmodified config.json and parks its first process before execve.</summary>
    Task<CreateContainerResponse> CreateContainer(CreateContainerRequest request, TtrpcContext context);

    /// <summary>Opens the start gate; answers once execve has succeeded, or with its error.</summary>
    Task<StartContainerResponse> StartContainer(StartContainerRequest request, TtrpcContext context);

    /// <summary>Starts one more process in a running container; answers once execve has succeeded, or with its error.</summary>
    Task<ExecResponse> Exec(ExecRequest request, TtrpcContext context);

    /// <summary>Frees a stopped container, or a stopped exec.</summary>
    Task<DeleteResponse> Delete(DeleteRequest request, TtrpcContext context);

    /// <summary>Makes the sandbox's network what is said here.</summary>
    Task<SetNetworkResponse> SetNetwork(SetNetworkRequest request, TtrpcContext context);

    Task<SignalResponse> Signal(SignalRequest request, TtrpcContext context);

    /// <summary>Answers when the process has ended and what it had written has been handed to its streams.</summary>
    Task<WaitResponse> Wait(WaitRequest request, TtrpcContext context);

    Task<ResizeResponse> Resize(ResizeRequest request, TtrpcContext context);

    /// <summary>The processes of a container as the guest's /proc tells them.</summary>
    Task<ProcessesResponse> Processes(ProcessesRequest request, TtrpcContext context);

    Task<PauseResponse> Pause(PauseRequest request, TtrpcContext context);

    Task<ResumeResponse> Resume(ResumeRequest request, TtrpcContext context);

    /// <summary>Applies linux.resources, as JSON bytes of the specification.</summary>
    Task<UpdateResponse> Update(UpdateRequest request, TtrpcContext context);

    Task<StatsResponse> Stats(StatsRequest request, TtrpcContext context);

    /// <summary>Makes the copy of a volume whose writer swaps "..data", or brings it up to date.</summary>
    Task<UpdateVolumeResponse> UpdateVolume(UpdateVolumeRequest request, TtrpcContext context);

    /// <summary>Joins a one-shot port of the host to a server that listens on a loopback address of the sandbox's network.</summary>
    Task<ForwardPortResponse> ForwardPort(ForwardPortRequest request, TtrpcContext context);

    /// <summary>Answers questions for names that the sandbox asks on a loopback address with what the host knows.</summary>
    Task<ForwardNamesResponse> ForwardNames(ForwardNamesRequest request, TtrpcContext context);

    /// <summary>Moves the wall clock by so much, and answers with what it shows then. By 0 it only asks.</summary>
    Task<AdjustClockResponse> AdjustClock(AdjustClockRequest request, TtrpcContext context);

    Task<TimelineResponse> Timeline(TimelineRequest request, TtrpcContext context);

    /// <summary>Brings processors online, or takes them offline, until so many are; answers with how many are.</summary>
    Task<SetProcessorsResponse> SetProcessors(SetProcessorsRequest request, TtrpcContext context);

    /// <summary>Answers with the next event; one call is outstanding at a time.</summary>
    Task<NextEventResponse> NextEvent(NextEventRequest request, TtrpcContext context);

    /// <summary>Lets go of the shares, in a machine that is to be saved once the host has taken its devices away.</summary>
    Task<WithdrawResponse> Withdraw(WithdrawRequest request, TtrpcContext context);

    /// <summary>Kills what runs, syncs, and powers the machine off after answering.</summary>
    Task<ShutdownResponse> Shutdown(ShutdownRequest request, TtrpcContext context);
}
