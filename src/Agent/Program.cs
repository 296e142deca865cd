using KataLike.Agent.Cgroups;
using KataLike.Agent.Network;
using KataLike.Agent.Service;
using KataLike.Agent.Streams;

namespace KataLike.Agent;

/// <summary>PID 1 of the guest.</summary>
internal static class Program
{
    private static int Main()
    {
        if (Environment.ProcessId != 1)
        {
            return 1;
        }
        Timeline.Mark("agent runs");
        try
        {
            Boot.CreateFileSystems();
            Timeline.Mark("file systems mounted");
            var parameters = KernelParameters.Read();
            Log.Configure(parameters);
            Boot.PrepareContainers(parameters);
            Timeline.Mark("cgroups and loopback ready");
            Serve();
        }
        catch (Exception e)
        {
            // An exception that leaves PID 1 panics the kernel, which says less.
            Log.Error($"the agent failed: {e}");
        }
        Boot.PowerOff();
        return 1;
    }

    /// <summary>Runs until the machine is to end. The calling thread moves all streams.</summary>
    private static void Serve()
    {
        using var loop = new EventLoop();
        var reaper = new Reaper();
        reaper.Start();
        var agent = new AgentService(loop, reaper, new Containers.Containers(new CgroupRoot(Boot.ContainersCgroup)), new PodNetwork());
        var connection = new ControlConnection(loop, agent);
        _ = Task.Run(connection.RunAsync).ContinueWith(
            ended =>
            {
                if (ended.Exception is { } error)
                {
                    Log.Error($"the agent failed: {error.InnerException}");
                }
                loop.Stop();
            },
            TaskScheduler.Default);
        loop.Run();
    }
}
