using System.Collections.Concurrent;
using System.Net;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// Where the pod's localhost on the host meets the guest's: what the host dials there is answered by the guest
/// (<see cref="LoopbackForward"/>), and the names that the guest asks for there by the host (<see cref="NameForward"/>).
/// </summary>
/// <param name="space">The pod's network namespace on the host.</param>
internal sealed class LocalhostForwards(FileDescriptor space, IVsock vsock, Action<string> warn) : IDisposable
{
    private readonly SemaphoreSlim _starting = new(1);
    private readonly ConcurrentDictionary<IPAddress, NameForward> _names = [];
    private LoopbackForward? _ports;

    /// <param name="call">Calls the agent.</param>
    public void ForwardPorts(Func<ForwardPortRequest, CancellationToken, Task> call) => _ports = LoopbackForward.TryStart(space, vsock, call, warn);

    /// <summary>Makes the name servers answer that a container finds in its file.</summary>
    /// <param name="call">Calls the agent.</param>
    public async Task ForwardNamesAsync(Spec spec, Func<ForwardNamesRequest, Task> call, CancellationToken cancel)
    {
        foreach (var server in NameForward.ServersOf(spec))
        {
            await _starting.WaitAsync(cancel);
            try
            {
                if (!_names.ContainsKey(server) && await NameForward.TryStartAsync(space, server, vsock, call, warn) is { } forward)
                    _names[server] = forward;
            }
            finally
            {
                _starting.Release();
            }
        }
    }

    public void Dispose()
    {
        _ports?.Dispose();
        foreach (var forward in _names.Values)
            forward.Dispose();
    }
}
