using KataLike.Agent.Service;
using KataLike.Agent.Streams;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>The one connection over which the host speaks to the agent. The agent dials; nothing listens in the guest.</summary>
internal sealed class ControlConnection(EventLoop loop, AgentService agent)
{
    private const int FirstPause = 2;
    private const int LongestPause = 100;

    // While the host is not ready for us.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly TtrpcServer _server = new(AgentServiceTable.For(agent));

    /// <summary>Serves until the host is gone for good.</summary>
    public async Task RunAsync()
    {
        // The port that is numbered like this machine is the one that the host has opened for it.
        var port = VsockSockets.GuestCid() ?? await AwaitDeviceAsync();
        while (Dial(port) is { } socket)
        {
            Log.Debug("connected to the host");
            Timeline.Mark("host dialled");
            var reason = await _server.ServeAsync(new ControlStream(loop, socket));
            Log.Debug($"the host's connection ended: {reason}");
            if (agent.Withdrawn)
            {
                port = AwaitAnotherDevice();
            }
        }
        Log.Error($"no host answers on vsock port {port}");
    }

    /// <summary>A machine without a vsock device is one that is to be saved: its copies get theirs when they are restored.</summary>
    private async Task<uint> AwaitDeviceAsync()
    {
        await agent.PrepareAsync();
        return AwaitCopysDevice();
    }

    /// <summary>One that had a device for a rehearsal is to be saved as well.</summary>
    private uint AwaitAnotherDevice()
    {
        using (var changes = Netlink.OpenDeviceEvents())
        {
            _ = Arrival.Await(changes, Timeout.InfiniteTimeSpan, () => VsockSockets.GuestCid() is null ? this : null);
        }
        agent.Withdrawn = false;
        return AwaitCopysDevice();
    }

    private static uint AwaitCopysDevice()
    {
        using var changes = Netlink.OpenDeviceEvents();
        Template.Prepare();
        Timeline.Clear();
        var cid = Arrival.Await(changes, Timeout.InfiniteTimeSpan, VsockSockets.GuestCid)!.Value;
        Timeline.Mark("vsock device found");
        return cid;
    }

    private static FileDescriptor? Dial(uint port)
    {
        Log.Debug("dialling the host");
        var deadline = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        for (var pause = FirstPause; ; pause = Math.Min(pause * 2, LongestPause))
        {
            try
            {
                return VsockSockets.Connect(VsockSockets.HostCid, port);
            }
            catch (LinuxException e) when (IsTransient(e.Errno) && Environment.TickCount64 < deadline)
            {
                Thread.Sleep(pause);
            }
            catch (LinuxException e)
            {
                Log.Error(e.Message);
                return null;
            }
        }
    }

    private static bool IsTransient(Errno errno) =>
        errno is Errno.ENODEV or Errno.EADDRNOTAVAIL or Errno.ETIMEDOUT or Errno.ECONNRESET or Errno.ENETUNREACH
            or Errno.ECONNREFUSED or Errno.EHOSTUNREACH;
}
