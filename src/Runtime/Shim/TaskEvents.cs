using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.Events;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Shim;

/// <summary>The events of the Task API with their topics.</summary>
/// <param name="publisher">Null where nobody wants them: the command line.</param>
/// <param name="record">Told of each container's end; null: it is written down nowhere.</param>
internal sealed class TaskEvents(EventPublisher? publisher, Action<string, ProcessExit>? record = null)
{
    public void Created(CreateTaskRequest request, uint pid)
    {
        var created = new TaskCreate
        {
            ContainerId = request.Id,
            Bundle = request.Bundle,
            Io = new TaskIO
            {
                Stdin = request.Stdin,
                Stdout = request.Stdout,
                Stderr = request.Stderr,
                Terminal = request.Terminal,
            },
            Checkpoint = request.Checkpoint,
            Pid = pid,
        };
        created.Rootfs.Add(request.Rootfs);
        publisher?.Publish("/tasks/create", TypeUrl.TaskCreate, created);
    }

    public void Started(string id, string execId, uint pid)
    {
        if (execId.Length == 0)
            publisher?.Publish("/tasks/start", TypeUrl.TaskStart, new TaskStart { ContainerId = id, Pid = pid });
        else
            publisher?.Publish("/tasks/exec-started", TypeUrl.TaskExecStarted, new TaskExecStarted { ContainerId = id, ExecId = execId, Pid = pid });
    }

    public void ExecAdded(string id, string execId) =>
        publisher?.Publish("/tasks/exec-added", TypeUrl.TaskExecAdded, new TaskExecAdded { ContainerId = id, ExecId = execId });

    /// <summary>Before <see cref="Exited"/>.</summary>
    public void Record(string id, string execId, ProcessExit exit)
    {
        if (execId.Length == 0)
            record?.Invoke(id, exit);
    }

    public void Exited(string id, string execId, uint pid, ProcessExit exit) => publisher?.Publish("/tasks/exit", TypeUrl.TaskExit, new TaskExit
    {
        ContainerId = id,
        Id = execId.Length == 0 ? id : execId,
        Pid = pid,
        ExitStatus = exit.Status,
        ExitedAt = Timestamp.FromDateTimeOffset(exit.At),
        ExitReason = exit.OutOfMemory ? ExitReason.Oomkilled : ExitReason.None,
    });

    public void Deleted(string id, DeleteResponse response) => publisher?.Publish("/tasks/delete", TypeUrl.TaskDelete, new TaskDelete
    {
        ContainerId = id,
        Pid = response.Pid,
        ExitStatus = response.ExitStatus,
        ExitedAt = response.ExitedAt,
    });

    public void Paused(string id) => publisher?.Publish("/tasks/paused", TypeUrl.TaskPaused, new TaskPaused { ContainerId = id });

    public void Resumed(string id) => publisher?.Publish("/tasks/resumed", TypeUrl.TaskResumed, new TaskResumed { ContainerId = id });

    public void OutOfMemory(string id) => publisher?.Publish("/tasks/oom", TypeUrl.TaskOOM, new TaskOOM { ContainerId = id });
}
