using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>Takes a container away with all that belongs to it, whatever state it or its sandbox is in.</summary>
internal static class Removal
{
    private const int EndMilliseconds = 5000;

    public static async Task RemoveAsync(StateRoot root, ContainerState state)
    {
        var shared = ContainerState.All(root).Any(other => other.Sandbox == state.Sandbox && other.Id != state.Id);
        if (!shared || !await LeaveSandboxAsync(root, state))
            await EndSandboxAsync(root, state.Sandbox);
        state.Remove(root);
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
        var directory = root.Sandbox(id);
        await using var sandbox = SandboxClient.Connect(root, id);
        using var process = sandbox is not null ? sandbox.OpenProcess() : FindOwner(directory);
        var hangs = sandbox is null || await HangsAsync(sandbox);
        // QEMU and virtiofsd end with it, and the kernel takes the mounts back.
        if (process is not null && (hangs || !HasEnded(process)) && directory.IsOwned() && Processes.Signal(process, Signals.SIGKILL))
            HasEnded(process);
        directory.RemoveStale();
    }

    /// <summary>A process that owns the directory and does not listen yet: its starter was killed.</summary>
    private static FileDescriptor? FindOwner(SandboxDirectory directory) =>
        directory.IsOwned() && directory.Read() is { } record ? Processes.TryOpen(record.Pid) : null;

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

    private static bool HasEnded(FileDescriptor process)
    {
        using var epoll = new Epoll();
        epoll.Add(process, PollEvents.Readable, 0);
        return epoll.Wait(EndMilliseconds).Length > 0;
    }
}
