using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>Takes a container away with all that belongs to it, whatever state it or its sandbox is in.</summary>
internal static class Removal
{
    private const int EndMilliseconds = 5000;

    /// <summary>For the processes of a container that got SIGKILL.</summary>
    private static readonly TimeSpan KilledPatience = TimeSpan.FromSeconds(20);

    /// <param name="warn">Told of poststop hooks that fail, and of other containers that are lost because their sandbox hangs.</param>
    public static async Task RemoveAsync(StateRoot root, ContainerState state, Action<string> warn)
    {
        var others = ContainerState.All(root).Where(other => other.Sandbox == state.Sandbox && other.Id != state.Id).ToList();
        var obstacle = others.Count > 0 ? await LeaveSandboxAsync(root, state) : null;
        if (others.Count == 0 || obstacle is not null)
            await EndSandboxAsync(root, state.Sandbox);
        if (obstacle is not null)
        {
            foreach (var other in others.Where(other => other.Exit(root) is null))
            {
                warn($"container {other.Id} is lost: {obstacle}");
                ContainerState.RecordExit(root, other.Id, new ContainerExit(ProcessExit.MachineLost, DateTimeOffset.UtcNow, obstacle));
            }
        }
        state.Remove(root);
        var stopped = ContainerStatusQuery.Describe(state, ContainerStatusQuery.Stopped, owner: "") with
        {
            Rootfs = null,
            Created = null,
            Owner = null,
        };
        await HostHooks.RunPoststopAsync(state.Poststop, stopped, warn);
    }

    /// <summary>Takes the container out of its sandbox.</summary>
    /// <returns>Null: done. Else why it cannot be done, for the sandbox hangs or has died, and all in it is lost.</returns>
    private static async Task<string?> LeaveSandboxAsync(StateRoot root, ContainerState state)
    {
        if (SandboxClient.Connect(root, state.Sandbox) is not { } connected)
            return null;
        await using var sandbox = connected;
        try
        {
            await IgnoringRefusals(() => sandbox.KillAsync(state.Id, Signals.SIGKILL, all: true));
            await IgnoringRefusals(() => sandbox.WaitAsync(state.Id).WaitAsync(KilledPatience));
            await IgnoringRefusals(() => sandbox.DeleteAsync(state.Id));
            return null;
        }
        catch (TimeoutException)
        {
            throw new RuntimeException("container init still running");
        }
        catch (SandboxUnreachableException error)
        {
            return error.Message;
        }
        catch (TtrpcException late)
        {
            return late.Message;
        }
    }

    /// <summary>Asks the process to end, makes it end where it does not, and removes what it left.</summary>
    private static async Task EndSandboxAsync(StateRoot root, string id)
    {
        await using (var sandbox = SandboxClient.Connect(root, id))
        {
            using var process = sandbox?.OpenProcess();
            if (sandbox is not null && !await HangsAsync(sandbox) && process is not null)
                AwaitEnd(process);
        }
        // QEMU and virtiofsd end with it, and the kernel takes the mounts back.
        root.Sandbox(id).Destroy(EndMilliseconds);
    }

    private static async Task<bool> HangsAsync(SandboxClient sandbox)
    {
        try
        {
            await IgnoringRefusals(sandbox.ShutdownAsync);
            return false;
        }
        catch (SandboxUnreachableException e)
        {
            return e.Hangs;
        }
    }

    private static async Task IgnoringRefusals(Func<Task> call)
    {
        try
        {
            await call();
        }
        catch (TtrpcException refusal) when (refusal.Code != StatusCode.DeadlineExceeded)
        {
            // It is not in the state that the call needs: the next step finds out.
        }
    }

    private static void AwaitEnd(FileDescriptor process)
    {
        using var epoll = new Epoll();
        epoll.Add(process, PollEvents.Readable, 0);
        epoll.Wait(EndMilliseconds);
    }
}
