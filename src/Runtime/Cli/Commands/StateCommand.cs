using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class StateCommand
{
    public static Command Command { get; } = new("state", "output the state of a container", RunAsync)
    {
        Description = "The state command outputs current state information for the instance of a container, as JSON.",
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        StandardStreams.WriteOutput((await ContainerStatusQuery.DescribeAsync(root, state, owner: "")).ToJson());
        return 0;
    }
}
