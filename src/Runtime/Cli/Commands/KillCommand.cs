using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class KillCommand
{
    public static Command Command { get; } = new("kill", "sends the specified signal (default: SIGTERM) to the container's init process", RunAsync)
    {
        Arguments = "<container-id> [signal]",
        MaximumArguments = 2,
        Flags = [Flag.Boolean("all, a", "send the specified signal to all processes inside the container")],
        Description = """
            A signal is a name, with or without SIG, or a number:

                # katalike kill ubuntu01 KILL
            """,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        var text = invocation.Options.Positionals is [_, var given] ? given : "SIGTERM";
        var signal = Signals.Parse(text) ?? throw new RuntimeException($"unknown signal \"{text}\"");
        if (signal is < 0 or > Signals.Last)
            throw new RuntimeException($"unable to signal init: signal {signal}: invalid argument");

        // To all processes of a stopped container, there being none, is no error.
        var all = invocation.Options.Boolean("all");
        const string stopped = "container not running";
        try
        {
            await using var sandbox = ContainerStatusQuery.Live(root, state, stopped);
            await sandbox.KillAsync(state.Id, signal, all);
        }
        catch (Exception e) when (e is RuntimeException or TtrpcException { Code: StatusCode.NotFound } or SandboxUnreachableException { Hangs: false })
        {
            return all ? 0 : throw new RuntimeException(stopped, cause: e);
        }
        return 0;
    }
}
