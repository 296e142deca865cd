using KataLike.Contract.Containerd;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>What a container's state is now: what is on disk, and what its sandbox process says while it lives.</summary>
internal static class ContainerStatusQuery
{
    public const string Creating = "creating", Created = "created", Running = "running", Paused = "paused", Stopped = "stopped";

    /// <exception cref="SandboxUnreachableException">The process lives and does not answer.</exception>
    public static async Task<string> StatusAsync(StateRoot root, ContainerState state)
    {
        if (state.Exit(root) is not null)
            return Stopped;
        if (state.IsBeingMade(root))
            return Creating;
        if (SandboxClient.Connect(root, state.Sandbox) is not { } connected)
            return Stopped;
        await using var sandbox = connected;
        try
        {
            return (await sandbox.StateAsync(state.Id)).Status switch
            {
                Status.Created => Created,
                Status.Running => Running,
                Status.Paused or Status.Pausing => Paused,
                _ => Stopped,
            };
        }
        catch (TtrpcException e) when (e.Code == StatusCode.NotFound)
        {
            return Stopped;
        }
        catch (SandboxUnreachableException) when (SandboxClient.Connect(root, state.Sandbox) is null)
        {
            return Stopped;
        }
    }

    /// <summary>The state as the specification has it, with runc's additions.</summary>
    public static async Task<State> DescribeAsync(StateRoot root, ContainerState state, string owner)
    {
        var status = await StatusAsync(root, state);
        return Describe(state, status, owner) with { Reason = status == Stopped ? LossOf(root, state) : null };
    }

    /// <summary>What took the machine away of a container that has stopped; null: it ended by itself.</summary>
    public static string? LossOf(StateRoot root, ContainerState state)
    {
        // While the sandbox process lives it may yet record the end.
        var lives = root.Sandbox(state.Sandbox).IsOwned();
        return state.Exit(root) is { } exit ? exit.Loss : lives ? null : ContainerExit.Unexplained;
    }

    public static State Describe(ContainerState state, string status, string owner) => new()
    {
        OciVersion = Version.Specification,
        Id = state.Id,
        Pid = status == Stopped ? 0 : state.Pid,
        Status = status,
        Bundle = state.Bundle,
        Rootfs = state.Rootfs,
        Created = state.Created,
        Annotations = state.Annotations is { Count: > 0 } annotations ? annotations : null,
        Owner = owner,
    };

    /// <summary>The sandbox of a container that runs.</summary>
    /// <exception cref="RuntimeException">It has stopped, in the words given.</exception>
    public static SandboxClient Live(StateRoot root, ContainerState state, string refusal)
    {
        if (state.Exit(root) is null && SandboxClient.Connect(root, state.Sandbox) is { } sandbox)
            return sandbox;
        throw new RuntimeException(refusal);
    }
}
