using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class StartCommand
{
    public static Command Command { get; } = new("start", "executes the user defined process in a created container", RunAsync)
    {
        Description = "The start command executes the user defined process in a created container.",
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.LoadMade(root, invocation.ContainerId);
        await using var sandbox = ContainerStatusQuery.Live(root, state, "cannot start a container that has stopped");
        await sandbox.StartAsync(state.Id);
        return 0;
    }
}
