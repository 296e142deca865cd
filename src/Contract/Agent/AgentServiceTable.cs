using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Agent;

/// <summary>Registers an <see cref="IAgent"/> with a <see cref="TtrpcServer"/>.</summary>
public static class AgentServiceTable
{
    public const string ServiceName = "katalike.agent.v1.Agent";

    public static TtrpcService For(IAgent agent) => new TtrpcService(ServiceName)
        .Method("SetUpSandbox", SetUpSandboxRequest.Parser, agent.SetUpSandbox)
        .Method("CreateContainer", CreateContainerRequest.Parser, agent.CreateContainer)
        .Method("StartContainer", StartContainerRequest.Parser, agent.StartContainer)
        .Method("Exec", ExecRequest.Parser, agent.Exec)
        .Method("Delete", DeleteRequest.Parser, agent.Delete)
        .Method("SetNetwork", SetNetworkRequest.Parser, agent.SetNetwork)
        .Method("Signal", SignalRequest.Parser, agent.Signal)
        .Method("Wait", WaitRequest.Parser, agent.Wait)
        .Method("Resize", ResizeRequest.Parser, agent.Resize)
        .Method("Processes", ProcessesRequest.Parser, agent.Processes)
        .Method("Pause", PauseRequest.Parser, agent.Pause)
        .Method("Resume", ResumeRequest.Parser, agent.Resume)
        .Method("Update", UpdateRequest.Parser, agent.Update)
        .Method("Stats", StatsRequest.Parser, agent.Stats)
        .Method("UpdateVolume", UpdateVolumeRequest.Parser, agent.UpdateVolume)
        .Method("ForwardPort", ForwardPortRequest.Parser, agent.ForwardPort)
        .Method("ForwardNames", ForwardNamesRequest.Parser, agent.ForwardNames)
        .Method("AdjustClock", AdjustClockRequest.Parser, agent.AdjustClock)
        .Method("Timeline", TimelineRequest.Parser, agent.Timeline)
        .Method("SetProcessors", SetProcessorsRequest.Parser, agent.SetProcessors)
        .Method("NextEvent", NextEventRequest.Parser, agent.NextEvent)
        .Method("Withdraw", WithdrawRequest.Parser, agent.Withdraw)
        .Method("Shutdown", ShutdownRequest.Parser, agent.Shutdown);
}
