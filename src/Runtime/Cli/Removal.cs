using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>Takes a container away with all that belongs to it, whatever state it or its sandbox is in.</summary>
internal static class Removal
{
    private const int EndMilliseconds = 5000;

    /// <param name="warn">Told of poststop hooks that fail.</param>
    public static async Task RemoveAsync(StateRoot root, ContainerState state, Action<string> warn)
    {
        var shared = ContainerState.All(root).Any(other => other.Sandbox == state.Sandbox && other.Id != state.Id);
        if (!shared || !await LeaveSandboxAsync(root, state))
            await EndSandboxAsync(root, state.Sandbox);
        state.Remove(root);
        var stopped = ContainerStatusQuery.Describe(state, ContainerStatusQuery.Stopped, owner: "") with
        {
            Rootfs = null,
            Created = null,
            Owner = null,
        };
        await HostHooks.RunPoststopAsync(state.Poststop, stopped, warn);
    }

    /// <returns>False when the sandbox process hangs: then all in it is lost.</returns>
    private static async Task<bool> LeaveSandboxAsync(StateRoot root, ContainerState state)
    {
        if (SandboxClient.Connect(root, state.Sandbox) is not { } connected)
            return true;
        await using var sandbox = connected;
        try
        {
            await IgnoringRefusals(() => sandbox.KillAsync(state.Id, Signals.SIGKILL, all: true));
            await IgnoringRefusals(() => sandbox.WaitAsync(state.Id));
            await IgnoringRefusals(() => sandbox.DeleteAsync(state.Id));
            return true;
        }
        catch (SandboxUnreachableException)
        {
            return false;
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
        catch (TtrpcException)
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
