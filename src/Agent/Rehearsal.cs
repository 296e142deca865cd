using KataLike.Agent.Containers;
using KataLike.Agent.Service;
using KataLike.Agent.Streams;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>
/// A container's life, asked for as a host does, in a machine that is to be saved. What happens once in a machine's life is behind all
/// its copies then: types laid out, threads started, caches of the kernel filled. The boot id, which is made when it is first read,
/// is not asked for.
/// </summary>
internal static class Rehearsal
{
    /// <param name="agent">Made for this, and of no use afterwards.</param>
    public static async Task RunAsync(EventLoop loop, AgentService agent)
    {
        var rootfs = Directory.CreateDirectory(Overlays.SharedPath($"{RehearsedContainer.Id}/rootfs")).FullName;
        if (!RehearsedProgram.WriteBoth(rootfs))
            return;
        var (ours, theirs) = UnixSockets.Pair();
        var served = new TtrpcServer(AgentServiceTable.For(agent)).ServeAsync(new ControlStream(loop, theirs));
        await using (var connection = new TtrpcClient(new ControlStream(loop, ours)))
            await PlayAsync(new AgentClient(connection));
        await served;
        Directory.Delete(Path.GetDirectoryName(rootfs)!, recursive: true);
    }

    private static async Task PlayAsync(AgentClient agent)
    {
        await agent.SetNetworkAsync(new SetNetworkRequest { Interfaces = { new NetworkInterface { Id = NetworkDevices.Loopback, Up = true } } });
        await RehearsedContainer.PlayAsync(
            agent, new CreateContainerRequest { Overlay = new Overlay { Rootfs = $"{RehearsedContainer.Id}/rootfs" }, Bundle = "/" });
    }
}
