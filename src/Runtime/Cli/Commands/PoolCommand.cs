using KataLike.Linux;
using KataLike.Runtime.Pools;

namespace KataLike.Runtime.Cli.Commands;

internal static class PoolCommand
{
    public static Command Command { get; } = new("pool", "keep machines ready, so that sandboxes need not wait for theirs", RunAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags = [],
        Description = """
            Keeps as many as `size` in section [pool] of the configuration says, until SIGTERM or SIGINT. A sandbox that
            starts meanwhile takes one, and another takes its place; those that nobody has taken end with this command.
            """,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        // Before any thread starts.
        using var signals = Signals.Redirect([Signals.SIGTERM, Signals.SIGINT]);
        var path = invocation.Global.ConfigurationPath;
        var configuration = Configuration.Load(path);
        if (configuration.PoolSize == 0)
            throw new RuntimeException($"pool: size is 0 in section [pool] of {path ?? Configuration.DefaultPath}: say how many machines are to be kept ready");
        PreparedMachine.Require(configuration);
        using var stop = new CancellationTokenSource();
        await using var keeper = new PoolKeeper(configuration, path, invocation.Log.Warning);
        var running = keeper.RunAsync(() => StandardStreams.WriteOutput($"pool: {configuration.PoolSize} ready\n"), stop.Token);
        var told = Task.Factory.StartNew(() => Signals.Read(signals), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.WhenAny(told, running);
        await stop.CancelAsync();
        await running;
        return 0;
    }
}
