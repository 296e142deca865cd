using System.Globalization;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>Disks that the host has plugged in for a container: config.json names them by the host's numbers.</summary>
internal static class BlockDevices
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>The numbers that the guest has given to them, by index into linux.devices. Waits until the kernel has found them all.</summary>
    public static Dictionary<int, (uint Major, uint Minor)> Find(Overlay overlay)
    {
        if (overlay.Devices.Count == 0)
            return [];
        using var changes = Netlink.OpenDeviceEvents();
        return overlay.Devices.ToDictionary(device => (int)device.Index, device =>
        {
            var numbers = Arrival.Await(changes, Patience, () => Numbers(device.Serial))
                ?? throw new ContainerException($"linux.devices[{device.Index}]: the disk {device.Serial} has not come");
            return (numbers[0], numbers[1]);
        });
    }

    /// <summary>The devices, and the rules that name them, with the guest's numbers.</summary>
    public static LinuxSpec Translate(LinuxSpec linux, IReadOnlyDictionary<int, (uint Major, uint Minor)> found)
    {
        if (found.Count == 0)
            return linux;
        var numbers = found.ToLookup(entry => (linux.Devices![entry.Key].Major, linux.Devices[entry.Key].Minor), entry => entry.Value);
        return linux with
        {
            Devices = [.. linux.Devices!.Select((device, index) =>
                found.TryGetValue(index, out var guests) ? device with { Major = guests.Major, Minor = guests.Minor } : device)],
            Resources = linux.Resources is null ? null : linux.Resources with
            {
                Devices = linux.Resources.Devices?.Select(rule =>
                    rule is { Type: "b", Major: { } major, Minor: { } minor } && numbers.Contains((major, minor))
                        ? rule with { Major = numbers[(major, minor)].First().Major, Minor = numbers[(major, minor)].First().Minor } : rule).ToList(),
            },
        };
    }

    private static uint[]? Numbers(string serial)
    {
        foreach (var disk in Directory.GetDirectories("/sys/block", "vd*"))
        {
            try
            {
                if (KernelFiles.Read($"{disk}/serial").Trim() == serial)
                    return [.. KernelFiles.Read($"{disk}/dev").Trim().Split(':').Select(number => uint.Parse(number, CultureInfo.InvariantCulture))];
            }
            catch (LinuxException)
            {
                // It is coming or going.
            }
        }
        return null;
    }
}
