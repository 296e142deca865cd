using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent.Network;

/// <summary>
/// The network namespace that the containers of the sandbox share, with the interfaces that the host says it has. It is the
/// first container's own, or is made before that, with its first interface.
/// </summary>
internal sealed class PodNetwork
{
    private readonly Lock _lock = new();
    private readonly Dictionary<uint, NetworkLink> _links = [];
    private FileDescriptor? _namespace;
    private Netlink? _netlink;

    // What to take away when it is not said any more, and what need not be added again: after an error not the same.
    private readonly NetworkItems _known = new();
    private NetworkItems _applied = new();

    /// <summary>Null: there is none yet.</summary>
    public FileDescriptor? Namespace
    {
        get
        {
            lock (_lock)
                return _namespace;
        }
    }

    public FileDescriptor Ensure()
    {
        lock (_lock)
            return _namespace ??= NetworkNamespaces.Create();
    }

    /// <summary>Makes it before anything is known of it.</summary>
    public void Prepare()
    {
        lock (_lock)
            Open();
    }

    /// <summary>Takes a container's network for the sandbox's, which has none yet.</summary>
    public void Adopt(FileDescriptor space)
    {
        lock (_lock)
            _namespace ??= space.Duplicate();
    }

    /// <exception cref="LinuxException">The first thing that could not be done; all else has been.</exception>
    public void Set(SetNetworkRequest request)
    {
        lock (_lock)
        {
            Open();
            LinuxException? failure = null;
            void Try(Action action)
            {
                try
                {
                    action();
                }
                catch (LinuxException error)
                {
                    failure ??= error;
                }
            }
            var wanted = NetworkItems.Of(request);
            Remove(wanted, request, Try);
            foreach (var item in request.Interfaces.Where(item => item.Id != NetworkDevices.Loopback))
                Try(() => Bring(item));
            Add(wanted, Try);
            WriteSysctls(wanted.Sysctls.Except(_applied.Sysctls));
            _known.Include(wanted);
            foreach (var id in wanted.Links.Except(_links.Keys))
                _known.Forget(id);
            _applied = failure is null ? wanted : new NetworkItems();
            if (failure is not null)
                throw failure;
            _known.Intersect(wanted);
        }
    }

    private void Open()
    {
        var space = _namespace ??= NetworkNamespaces.Create();
        if (_netlink is null)
            NetworkNamespaces.Run(space, () => _netlink = Netlink.Open());
        _links.TryAdd(NetworkDevices.Loopback, NetworkLinks.List(_netlink!).First(link => link.IsLoopback));
    }

    private void Remove(NetworkItems wanted, SetNetworkRequest request, Action<Action> attempt)
    {
        foreach (var rule in _known.Rules.Except(wanted.Rules))
            attempt(() => NetworkRules.Remove(_netlink!, NetworkItems.ToLinux(rule)));
        foreach (var neighbor in _known.Neighbors.Except(wanted.Neighbors))
            attempt(() => NetworkNeighbors.Remove(_netlink!, NetworkItems.ToLinux(neighbor, _links)));
        foreach (var route in _known.Routes.Except(wanted.Routes))
            attempt(() => NetworkRoutes.Remove(_netlink!, NetworkItems.ToLinux(route, _links)));
        foreach (var (id, address) in _known.Addresses.Except(wanted.Addresses))
            attempt(() => NetworkAddresses.Remove(_netlink!, NetworkItems.ToLinux(id, address, _links)));
        // What was on it has gone with it.
        foreach (var id in _links.Keys.Except(request.Interfaces.Select(item => item.Id)).Where(id => id != NetworkDevices.Loopback).ToList())
        {
            _links.Remove(id);
            _known.Forget(id);
            _applied.Forget(id);
        }
    }

    private void Add(NetworkItems wanted, Action<Action> attempt)
    {
        foreach (var (id, address) in wanted.Addresses.Except(_applied.Addresses))
            attempt(() => NetworkAddresses.Add(_netlink!, NetworkItems.ToLinux(id, address, _links)));
        // A gateway must be reachable before a route leads to it.
        foreach (var route in wanted.Routes.Except(_applied.Routes).OrderBy(route => route.Hops.Any(hop => hop.Gateway.Length > 0)))
            attempt(() => NetworkRoutes.Add(_netlink!, NetworkItems.ToLinux(route, _links)));
        foreach (var neighbor in wanted.Neighbors.Except(_applied.Neighbors))
            attempt(() => NetworkNeighbors.Add(_netlink!, NetworkItems.ToLinux(neighbor, _links)));
        foreach (var rule in wanted.Rules.Except(_applied.Rules))
            attempt(() => NetworkRules.Add(_netlink!, NetworkItems.ToLinux(rule)));
    }

    /// <summary>What this kernel does not know, or will not have, is left: the host's may be another version.</summary>
    private void WriteSysctls(IEnumerable<NetworkSysctl> sysctls)
    {
        var writing = sysctls.Where(sysctl => !sysctl.Path.Split('/').Contains("..")).ToList();
        if (writing.Count == 0)
            return;
        NetworkNamespaces.Run(_namespace!, () =>
        {
            foreach (var sysctl in writing)
            {
                try
                {
                    KernelFiles.Write($"/proc/sys/net/{sysctl.Path}", sysctl.Value);
                }
                catch (LinuxException error)
                {
                    Log.Error($"network: {error.Message}");
                }
            }
        });
    }

    /// <summary>Takes a device in, or changes what has changed of it.</summary>
    private void Bring(NetworkInterface wanted)
    {
        if (!_links.TryGetValue(wanted.Id, out var link))
        {
            link = NetworkDeviceArrival.Take(wanted, _namespace!, _netlink!);
            NetworkLinks.Change(_netlink!, link, new NetworkLinkChange { WithoutOwnAddresses = true });
        }
        var address = wanted.HardwareAddress.ToByteArray();
        var change = new NetworkLinkChange
        {
            Name = wanted.Name != link.Name ? wanted.Name : null,
            Mtu = wanted.Mtu != link.Mtu ? wanted.Mtu : null,
            HardwareAddress = address.AsSpan().SequenceEqual(link.HardwareAddress) ? null : address,
            NoArp = wanted.NoArp != link.HasNoArp ? wanted.NoArp : null,
        };
        // Only what is down can be renamed, and with that the kernel drops most of what was on it.
        if (change.Name is not null && link.IsUp)
        {
            NetworkLinks.Change(_netlink!, link, new NetworkLinkChange { Up = false });
            _applied.Forget(wanted.Id);
        }
        if (change != new NetworkLinkChange())
            NetworkLinks.Change(_netlink!, link, change);
        NetworkLinks.Change(_netlink!, link, new NetworkLinkChange { Up = wanted.Up });
        _links[wanted.Id] = NetworkLinks.List(_netlink!).FirstOrDefault(now => now.Index == link.Index) ?? link;
    }
}
