using KataLike.Agent.Streams;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>The one connection over which the host speaks to the agent. The agent dials; nothing listens in the guest.</summary>
internal sealed class ControlConnection(uint port, EventLoop loop, IAgent agent)
{
    private const int FirstPause = 2;
    private const int LongestPause = 100;

    // Before the device is there, or while a host that restores this machine is not ready for it.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly TtrpcServer _server = new(AgentServiceTable.For(agent));

    /// <summary>Serves until the host is gone for good.</summary>
    public async Task RunAsync()
    {
        while (Dial() is { } socket)
        {
            Log.Debug("connected to the host");
            Timeline.Mark("host dialled");
            var reason = await _server.ServeAsync(new ControlStream(loop, socket));
            Log.Debug($"the host's connection ended: {reason}");
        }
        Log.Error($"no host answers on vsock port {port}");
    }

    private FileDescriptor? Dial()
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
