using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class PauseCommand
{
    public static Command Command { get; } = new("pause", "pause suspends all processes inside the container", RunAsync)
    {
        Description = "The pause command suspends all processes in the instance of the container.",
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        await using var sandbox = ContainerStatusQuery.Live(root, state, "container not running");
        await sandbox.PauseAsync(state.Id);
        return 0;
    }
}
