using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class DeleteCommand
{
    public static Command Command { get; } = new("delete", "delete any resources held by the container often used with detached container", RunAsync)
    {
        Flags = [Flag.Boolean("force, f", "Forcibly deletes the container if it is still running (uses SIGKILL)")],
        Description = """
            The delete command removes what a stopped container holds. With --force it also takes away one that runs, or
            whose virtual machine has died; a container that does not exist is no error then.
            """,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var force = invocation.Options.Boolean("force");
        if (ContainerState.TryLoad(root, invocation.ContainerId) is not { } state)
            return force ? 0 : throw new RuntimeException("container does not exist");
        if (!force && await ContainerStatusQuery.StatusAsync(root, state) is (ContainerStatusQuery.Running or ContainerStatusQuery.Paused) and var status)
            throw new RuntimeException($"cannot delete container {state.Id} that is not stopped: {status}");
        await Removal.RemoveAsync(root, state, invocation.Log.Warning);
        return 0;
    }
}
