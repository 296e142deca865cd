using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Containerd.TaskV2;

/// <summary>Registers an <see cref="ITaskService"/> with a <see cref="TtrpcServer"/>.</summary>
public static class TaskServiceTable
{
    public const string ServiceV2 = "containerd.task.v2.Task";

    /// <summary>The same messages under the name that containerd 2 calls.</summary>
    public const string ServiceV3 = "containerd.task.v3.Task";

    public static TtrpcService[] For(ITaskService service) => [For(service, ServiceV2), For(service, ServiceV3)];

    private static TtrpcService For(ITaskService service, string name) => new TtrpcService(name)
        .Method("State", StateRequest.Parser, service.State)
        .Method("Create", CreateTaskRequest.Parser, service.Create)
        .Method("Start", StartRequest.Parser, service.Start)
        .Method("Delete", DeleteRequest.Parser, service.Delete)
        .Method("Pids", PidsRequest.Parser, service.Pids)
        .Method("Pause", PauseRequest.Parser, service.Pause)
        .Method("Resume", ResumeRequest.Parser, service.Resume)
        .Method("Checkpoint", CheckpointTaskRequest.Parser, service.Checkpoint)
        .Method("Kill", KillRequest.Parser, service.Kill)
        .Method("Exec", ExecProcessRequest.Parser, service.Exec)
        .Method("ResizePty", ResizePtyRequest.Parser, service.ResizePty)
        .Method("CloseIO", CloseIORequest.Parser, service.CloseIO)
        .Method("Update", UpdateTaskRequest.Parser, service.Update)
        .Method("Wait", WaitRequest.Parser, service.Wait)
        .Method("Stats", StatsRequest.Parser, service.Stats)
        .Method("Connect", ConnectRequest.Parser, service.Connect)
        .Method("Shutdown", ShutdownRequest.Parser, service.Shutdown);
}
