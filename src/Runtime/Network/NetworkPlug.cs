using System.Text.Json.Nodes;
using KataLike.Contract.Agent;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Network;

/// <summary>What connects an interface of the pod to the guest: a tap beside it, the redirection both ways, and QEMU's device.</summary>
/// <param name="Id">The device's number (<see cref="NetworkDevices"/>).</param>
internal sealed record NetworkPlug(uint Id, NetworkLink Interface, NetworkLink Tap)
{
    public const int MaxQueues = 8;

    private const string VhostNet = "/dev/vhost-net";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private string Name => NameOf(Id);

    /// <exception cref="LinuxException">The kernel refused.</exception>
    /// <exception cref="QmpException">QEMU refused.</exception>
    public static async Task<NetworkPlug> AddAsync(
        uint id, NetworkLink link, FileDescriptor space, Netlink netlink, HotPlug devices, int queues)
    {
        (string Name, IReadOnlyList<FileDescriptor> Queues) tap = ("", []);
        NetworkNamespaces.Run(space, () => tap = Taps.Create("katalike%d", queues));
        try
        {
            var other = NetworkLinks.List(netlink).First(candidate => candidate.Name == tap.Name);
            // Its own addresses would only make noise in the guest.
            NetworkLinks.Change(netlink, other, new NetworkLinkChange { Mtu = link.Mtu, WithoutOwnAddresses = true });
            NetworkLinks.Change(netlink, other, new NetworkLinkChange { Up = true });
            TrafficControl.Redirect(netlink, other, link);
            TrafficControl.Redirect(netlink, link, other);
            await PlugAsync(NameOf(id), NetworkDevices.HardwareAddress(id), tap.Queues, devices);
            return new NetworkPlug(id, link, other);
        }
        catch
        {
            TrafficControl.Remove(netlink, link);
            throw;
        }
        finally
        {
            // QEMU has its own: with the last of them the tap ends.
            foreach (var queue in tap.Queues)
                queue.Dispose();
        }
    }

    /// <param name="netlink">Null: the interface has gone.</param>
    public async Task RemoveAsync(HotPlug devices, Netlink? netlink)
    {
        if (netlink is not null)
            TrafficControl.Remove(netlink, Interface);
        using var limit = new CancellationTokenSource(Patience);
        await devices.RemoveAsync(Name, limit.Token);
        await devices.ExecuteAsync("netdev_del", new JsonObject { ["id"] = Name }, limit.Token);
    }

    /// <summary>The machine has ended, and with it the tap.</summary>
    public void Forget(Netlink netlink)
    {
        try
        {
            TrafficControl.Remove(netlink, Interface);
        }
        catch (LinuxException)
        {
            // Whatever has become of the interface, it is not ours.
        }
    }

    private static string NameOf(uint id) => $"net{id}";

    private static async Task PlugAsync(string name, byte[] address, IReadOnlyList<FileDescriptor> queues, HotPlug devices)
    {
        var backEnd = new JsonObject { ["type"] = "tap", ["id"] = name, ["fds"] = await PassAsync(name, queues, devices) };
        var accelerated = queues.Select(_ => TryOpenVhost()).OfType<FileDescriptor>().ToList();
        if (accelerated.Count == queues.Count)
        {
            backEnd["vhost"] = true;
            backEnd["vhostfds"] = await PassAsync($"{name}-vhost", accelerated, devices);
        }
        foreach (var file in accelerated)
            file.Dispose();
        await devices.ExecuteAsync("netdev_add", backEnd);
        await devices.AddAsync("virtio-net-pci", name, DeviceProperties(name, address, queues.Count));
    }

    internal static JsonObject DeviceProperties(string name, byte[] address, int queues)
    {
        var properties = new JsonObject
        {
            ["netdev"] = name,
            ["mac"] = string.Join(':', address.Select(part => part.ToString("x2"))),
            // Nobody boots from it.
            ["romfile"] = "",
            ["rx_queue_size"] = 1024,
        };
        if (queues > 1)
        {
            properties["mq"] = true;
            // One for each direction of each queue, for the control queue and for changes of the configuration.
            properties["vectors"] = 2 * queues + 2;
        }
        return properties;
    }

    private static async Task<string> PassAsync(string name, IReadOnlyList<FileDescriptor> files, HotPlug devices)
    {
        for (var i = 0; i < files.Count; i++)
            await devices.PassAsync($"{name}-{i}", files[i]);
        return string.Join(':', Enumerable.Range(0, files.Count).Select(i => $"{name}-{i}"));
    }

    private static FileDescriptor? TryOpenVhost()
    {
        try
        {
            return Files.Open(VhostNet, Files.ReadWrite);
        }
        catch (LinuxException)
        {
            return null;
        }
    }
}
