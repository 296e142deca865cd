using KataLike.Contract.Ttrpc;

namespace KataLike.Runtime.Sandboxes;

internal enum ContainerStatus { Created, Running, Paused, Stopped }

internal enum ProcessState { Created, Running, Stopped }

internal enum ContainerAction { Start, Exec, Signal, Pause, Resume, Update, Delete }

/// <summary>What may be done to a container in which status, and what becomes of it. Refusals are in runc's words.</summary>
/// <remarks>The end of the first process is no action: it makes any container Stopped.</remarks>
internal static class Lifecycle
{
    private const string NotRunning = "container not running";

    /// <summary>The status after the action has succeeded.</summary>
    /// <exception cref="TtrpcException">FailedPrecondition: the status does not allow it.</exception>
    public static ContainerStatus After(ContainerStatus status, ContainerAction action, string id) => (action, status) switch
    {
        (ContainerAction.Start, ContainerStatus.Created) => ContainerStatus.Running,
        (ContainerAction.Start, ContainerStatus.Stopped) => throw Refusal("cannot start a container that has stopped"),
        (ContainerAction.Start, _) => throw Refusal("cannot start an already running container"),

        (ContainerAction.Exec, ContainerStatus.Stopped) => throw Refusal("cannot exec in a stopped container"),
        (ContainerAction.Exec, ContainerStatus.Paused) => throw Refusal("cannot exec in a paused container (use --ignore-paused to override)"),

        (ContainerAction.Signal or ContainerAction.Update, ContainerStatus.Stopped) => throw Refusal(NotRunning),

        (ContainerAction.Pause, ContainerStatus.Running) => ContainerStatus.Paused,
        (ContainerAction.Pause, _) => throw Refusal(NotRunning),

        (ContainerAction.Resume, ContainerStatus.Paused) => ContainerStatus.Running,
        (ContainerAction.Resume, _) => throw Refusal("container not paused"),

        (ContainerAction.Delete, ContainerStatus.Running or ContainerStatus.Paused) => throw Refusal(
            $"cannot delete container {id} that is not stopped: {status.ToString().ToLowerInvariant()}"),
        (ContainerAction.Delete, _) => ContainerStatus.Stopped,

        _ => status,
    };

    private static TtrpcException Refusal(string words) => new(StatusCode.FailedPrecondition, words);
}
