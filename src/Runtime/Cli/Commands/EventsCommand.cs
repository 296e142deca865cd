using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class EventsCommand
{
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(2);

    public static Command Command { get; } = new("events", "display container events such as OOM notifications, cpu, memory, and IO usage statistics", RunAsync)
    {
        Flags =
        [
            Flag.Duration("interval", "set the stats collection interval", "5s"),
            Flag.Boolean("stats", "display the container's stats then exit"),
        ],
        Description = """
            The events command displays information about the container, a JSON object on each line. By default the
            information is displayed once every 5 seconds, until the container ends.
            """,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var interval = GoDuration.Parse(invocation.Options.Text("interval") ?? "5s")!.Value;
        if (interval <= TimeSpan.Zero)
            throw new RuntimeException("duration interval must be greater than 0");
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        await using var sandbox = ContainerStatusQuery.Live(root, state, $"container with id {state.Id} is not running");
        if (invocation.Options.Boolean("stats"))
            await PrintStatsAsync(sandbox, state.Id);
        else
            await WatchAsync(sandbox, state.Id, interval);
        return 0;
    }

    private static async Task WatchAsync(SandboxClient sandbox, string id, TimeSpan interval)
    {
        ulong seen = 0;
        try
        {
            var (kill, tick) = (sandbox.OutOfMemoryAsync(id, seen), Task.Delay(interval));
            while (true)
            {
                if (await Task.WhenAny(kill, tick) == tick)
                {
                    try
                    {
                        await PrintStatsAsync(sandbox, id);
                    }
                    catch (TtrpcException)
                    {
                        // What is ending has no statistics any more; the other call tells of its end.
                        if (await Task.WhenAny(kill, Task.Delay(EndPatience)) != kill)
                            throw;
                    }
                    tick = Task.Delay(interval);
                    continue;
                }
                var answer = await kill;
                for (; seen < answer.Count; seen++)
                    StandardStreams.WriteOutput($"{{\"type\":\"oom\",\"id\":\"{id}\"}}\n");
                if (answer.Ended)
                    return;
                kill = sandbox.OutOfMemoryAsync(id, seen);
            }
        }
        catch (Exception e) when (e is SandboxUnreachableException { Hangs: false } or TtrpcException { Code: StatusCode.NotFound or StatusCode.FailedPrecondition or StatusCode.Unavailable })
        {
            // It has ended, and its sandbox with it.
        }
    }

    private static async Task PrintStatsAsync(SandboxClient sandbox, string id) =>
        StandardStreams.WriteOutput(StatsEvent.Format(id, await sandbox.StatsAsync(id)) + "\n");
}
