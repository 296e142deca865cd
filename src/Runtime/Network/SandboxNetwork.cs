using System.Net.Sockets;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Network;

/// <summary>
/// The network namespace of the host that stands for the sandbox's: callers put interfaces into it, and the guest gets them.
/// Everything that comes in on an interface goes to a tap beside it, and from there into the guest, before the host's own
/// network sees it; and back. The guest is told what the host's kernel knows of them. Nothing comes from the guest but packets.
/// </summary>
internal sealed class SandboxNetwork : IAsyncDisposable
{
    private readonly SemaphoreSlim _changing = new(1);
    private readonly Dictionary<int, NetworkPlug> _plugs = [];
    private readonly Netlink _requests, _events;
    private readonly NetworkRecord? _record;
    private readonly NetworkSysctls? _sysctls;
    private readonly CancellationTokenSource _ended = new();
    private readonly Lock _holding = new();
    private uint _lastId = NetworkDevices.Loopback;
    private SetNetworkRequest _told = new();
    private HotPlug? _devices;
    private int _queues;
    private bool _user;
    private Task? _userPlug;

    private SandboxNetwork(FileDescriptor space, NetworkRecord? record = null)
    {
        (Namespace, _record, _sysctls) = (space, record, record is null ? null : new NetworkSysctls(space));
        Netlink? requests = null, events = null;
        NetworkNamespaces.Run(space, () =>
        {
            requests = Netlink.Open();
            events = Netlink.Open(NetlinkGroups.Links | NetlinkGroups.Addresses | NetlinkGroups.Routes | NetlinkGroups.Neighbors | NetlinkGroups.Rules);
        });
        (_requests, _events) = (requests!, events!);
    }

    /// <summary>Until disposed.</summary>
    public FileDescriptor Namespace { get; }

    /// <summary>A descriptor of one's own, without the lock, which ends with this process; null: disposed.</summary>
    public FileDescriptor? TryHold()
    {
        lock (_holding)
            return Namespace.IsClosed ? null : Files.Reopen(Namespace, Files.ReadOnly);
    }

    /// <summary>Takes the namespace that the first container names, or makes one that is as empty as runc's.</summary>
    /// <param name="directory">The sandbox's, where what has been changed on the host is written down.</param>
    /// <param name="empty">One to take in place of a new one; it stays the caller's.</param>
    /// <exception cref="RuntimeException">It cannot be the sandbox's.</exception>
    public static SandboxNetwork Open(LinuxSpec? linux, string directory, FileDescriptor? empty = null)
    {
        if (linux?.FindNamespace("network") is not { Path: { Length: > 0 } path })
            return new SandboxNetwork(empty?.Duplicate() ?? NetworkNamespaces.Create());
        try
        {
            var space = NetworkNamespaces.Open(path);
            using var own = NamespaceFiles.Own(Namespaces.Network);
            if (NetworkNamespaces.Same(space, own))
                throw new RuntimeException($"linux.namespaces: network: {path} is the host's, which cannot be shared with a virtual machine");
            if (!FileLock.TryAcquire(space))
                throw new RuntimeException($"linux.namespaces: network: {path} belongs to another sandbox: each needs a network namespace of its own");
            return new SandboxNetwork(space, new NetworkRecord(directory, path));
        }
        catch (LinuxException error)
        {
            throw new RuntimeException($"linux.namespaces: network: {path}: {error.Errno.Text()}", cause: error);
        }
    }

    /// <summary>A container that names a network namespace must name this one.</summary>
    /// <exception cref="RuntimeException">It is another.</exception>
    public void Require(LinuxSpec? linux)
    {
        if (linux?.FindNamespace("network") is not { Path: { Length: > 0 } path })
            return;
        try
        {
            using var space = NetworkNamespaces.Open(path);
            if (!NetworkNamespaces.Same(space, Namespace))
                throw new RuntimeException($"linux.namespaces: network: {path} is not the sandbox's: its containers have one network");
        }
        catch (LinuxException error)
        {
            throw new RuntimeException($"linux.namespaces: network: {path}: {error.Errno.Text()}", cause: error);
        }
    }

    /// <summary>The sandbox gets QEMU's own network in place of the namespace's, and QEMU runs in the host's: null.</summary>
    /// <exception cref="RuntimeException">It has been given a network.</exception>
    public FileDescriptor? StepAside()
    {
        if (_record is not null)
            throw new RuntimeException($"the annotation {Sandboxes.PodAnnotations.Prefix}network is for a sandbox without a network: linux.namespaces names one");
        _user = true;
        return null;
    }

    /// <summary>Plugs in what is there, while the guest boots.</summary>
    /// <param name="devices">Null: the machine takes none.</param>
    /// <exception cref="RuntimeException">An interface cannot be given to the guest.</exception>
    public async Task PlugAsync(HotPlug? devices, int vcpus)
    {
        (_devices, _queues) = (devices, Math.Min(vcpus, NetworkPlug.MaxQueues));
        await ChangeAsync(_ => Task.CompletedTask);
        _told = new SetNetworkRequest();
    }

    /// <summary>Makes the guest's network what the host's is now.</summary>
    /// <param name="tell">Says it to the agent.</param>
    /// <exception cref="RuntimeException">An interface cannot be given to the guest.</exception>
    public Task UpdateAsync(Func<SetNetworkRequest, Task> tell) => ChangeAsync(tell);

    private async Task ChangeAsync(Func<SetNetworkRequest, Task> tell)
    {
        await _changing.WaitAsync();
        try
        {
            ObjectDisposedException.ThrowIf(_ended.IsCancellationRequested, this);
            if (_user)
            {
                await (_userPlug ??= UserNetwork.PlugAsync(_devices ?? throw TakesNone("user")));
                await TellAsync(UserNetwork.Describe(), tell);
                return;
            }
            var now = NetworkSnapshot.Take(_requests);
            var wanted = now.Interfaces([.. _plugs.Values.Select(plug => plug.Tap.Index)], _plugs.ContainsKey);
            foreach (var (index, plug) in _plugs.Where(entry => wanted.All(link => link.Index != entry.Key)).ToList())
            {
                _plugs.Remove(index);
                await plug.RemoveAsync(_devices!, now.Links.Any(link => link.Index == index) ? _requests : null);
            }
            if (wanted.Any(link => !_plugs.ContainsKey(link.Index)))
                _record?.Write(wanted);
            foreach (var link in wanted.Where(link => !_plugs.ContainsKey(link.Index)))
                _plugs.Add(link.Index, await AddAsync(link));
            var request = now.Describe(_plugs.ToDictionary(entry => entry.Key, entry => entry.Value.Id));
            if (_sysctls is not null)
            {
                foreach (var (path, value) in await _sysctls.TakeAsync([.. wanted.Select(link => link.Name)]))
                    request.Sysctls.Add(new NetworkSysctl { Path = path, Value = value });
            }
            await TellAsync(request, tell);
        }
        catch (Exception error) when (error is LinuxException or QmpException)
        {
            throw new RuntimeException($"network: {error.Message}", cause: error);
        }
        finally
        {
            _changing.Release();
        }
    }

    private Task<NetworkPlug> AddAsync(NetworkLink link) => _devices is { } devices
        ? NetworkPlug.AddAsync(++_lastId, link, Namespace, _requests, devices, _queues)
        : throw TakesNone(link.Name);

    private static RuntimeException TakesNone(string name) => new(
        $"network: {name}: this machine takes no devices: it must be of type q35, and its first container name a network namespace or have hooks");

    private async Task TellAsync(SetNetworkRequest request, Func<SetNetworkRequest, Task> tell)
    {
        if (request.Equals(_told) || (IsOnlyLoopback(request) && IsOnlyLoopback(_told)))
            return;
        await tell(request);
        _told = request;
    }

    /// <summary>What the guest has from the start.</summary>
    private static bool IsOnlyLoopback(SetNetworkRequest request) =>
        request.Interfaces.All(item => item.Id == NetworkDevices.Loopback && item.Addresses.Count == 0)
        && request.Routes.Count + request.Neighbors.Count + request.Rules.Count + request.Sysctls.Count == 0;

    /// <summary>Keeps the guest's network what the host's is, until disposed.</summary>
    public async Task FollowAsync(Func<SetNetworkRequest, Task> tell, Action<string> warn)
    {
        await using var changes = SocketStreams.Take(_events.Socket.Duplicate());
        var buffer = new byte[4096];
        while (await NextAsync(changes, buffer))
        {
            try
            {
                await UpdateAsync(tell);
            }
            catch (Exception error) when (error is RuntimeException or TtrpcException && !_ended.IsCancellationRequested)
            {
                warn(error.Message);
            }
            catch (Exception error) when (error is RuntimeException or TtrpcException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    /// <summary>Waits for a change, and takes all that have come: one look at the whole answers them.</summary>
    private async Task<bool> NextAsync(Stream changes, byte[] buffer)
    {
        try
        {
            var count = await changes.ReadAsync(buffer, _ended.Token);
            while (count > 0 && UnixSockets.TryReceive(_events.Socket, buffer, []) > 0)
            {
            }
            return true;
        }
        catch (Exception error) when (error is SocketException or IOException)
        {
            // More of them than the kernel keeps.
            return !_ended.IsCancellationRequested;
        }
        catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>After the machine's end: the interfaces are the host's again.</summary>
    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _changing.WaitAsync();
        foreach (var plug in _plugs.Values)
            plug.Forget(_requests);
        _requests.Dispose();
        _events.Dispose();
        lock (_holding)
            Namespace.Dispose();
        _changing.Release();
    }
}
