using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class ResumeCommand
{
    public static Command Command { get; } = new("resume", "resumes all processes that have been previously paused", RunAsync)
    {
        Description = "The resume command resumes all processes in the instance of the container.",
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        await using var sandbox = ContainerStatusQuery.Live(root, state, "container not paused");
        await sandbox.ResumeAsync(state.Id);
        return 0;
    }
}
