using System.Globalization;
using System.Text.Json.Nodes;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Storage;

/// <summary>A block device of the host that a container is given.</summary>
/// <param name="Index">Into linux.devices.</param>
/// <param name="Path">In the container, for messages.</param>
/// <param name="ReadOnly">No rule lets the container write to it.</param>
internal sealed record HostBlockDevice(int Index, string Path, uint Major, uint Minor, bool ReadOnly)
{
    /// <summary>
    /// Those that are asked for by number. A privileged container, which may use every device, names all that the host has: these
    /// stay the host's.
    /// </summary>
    public static IReadOnlyList<HostBlockDevice> From(LinuxSpec? linux)
    {
        var found = new List<HostBlockDevice>();
        for (var index = 0; index < (linux?.Devices?.Count ?? 0); index++)
        {
            var device = linux!.Devices![index];
            if (device.Type != "b" || device.Major is < 0 or > 0xfff || device.Minor is < 0 or > 0xfffff)
                continue;
            var rules = (linux.Resources?.Devices ?? []).Where(rule => rule.Type == "b" && rule.Major == device.Major && rule.Minor == device.Minor).ToList();
            if (rules is [.., { Allow: true, Access: var access }])
                found.Add(new HostBlockDevice(index, device.Path, (uint)device.Major, (uint)device.Minor, access is { Length: > 0 } && !access.Contains('w')));
        }
        return found;
    }
}

/// <summary>
/// The machine's disks that are block devices of the host. One that several containers have is one disk, and goes with the last of
/// them. What may only be read is a disk of its own, which QEMU has not opened for writing.
/// </summary>
/// <param name="machine">Where they are plugged in; asked when the machine runs.</param>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "a semaphore that nobody polls owns nothing")]
internal sealed class BlockDevices(Func<HotPlug> machine, Action<string> log)
{
    private const uint Node = 0x6000 | 0x180; // block device, 0600

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    // Held while disks come and go. Guards the disks.
    private readonly SemaphoreSlim _changing = new(1);
    private readonly Dictionary<string, Disk> _disks = [];

    private sealed record Disk(string Set, HashSet<string> Containers);

    /// <summary>Plugs in what a container needs and the machine has not got yet, and has the agent told.</summary>
    /// <exception cref="RuntimeException">The device cannot be opened, or QEMU does not take it.</exception>
    public async Task AddAsync(string containerId, SharePlan plan, CancellationToken cancel)
    {
        await _changing.WaitAsync(cancel);
        try
        {
            foreach (var device in plan.Devices)
            {
                var name = $"disk-{device.Major}-{device.Minor}-{(device.ReadOnly ? "r" : "w")}";
                if (!_disks.TryGetValue(name, out var disk))
                {
                    using var file = Open(device);
                    if (file is null)
                        continue;
                    _disks[name] = disk = await PlugAsync(name, device, file, cancel);
                }
                disk.Containers.Add(containerId);
                plan.Overlay.Devices.Add(new DeviceSource { Index = (uint)device.Index, Serial = name });
            }
        }
        catch (QmpException error)
        {
            throw new RuntimeException($"linux.devices: the machine does not take the disk: {error.Message}", cause: error);
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Takes away the disks that no other container has.</summary>
    public async Task RemoveAsync(string containerId)
    {
        await _changing.WaitAsync();
        try
        {
            foreach (var (name, disk) in _disks.Where(entry => entry.Value.Containers.Remove(containerId) && entry.Value.Containers.Count == 0).ToList())
            {
                _disks.Remove(name);
                using var limit = new CancellationTokenSource(Patience);
                await UnplugAsync(name, disk, limit.Token);
            }
        }
        catch (Exception error) when (error is QmpException or OperationCanceledException)
        {
            log($"a disk stays in the machine: {error.Message}");
        }
        finally
        {
            _changing.Release();
        }
    }

    private async Task<Disk> PlugAsync(string name, HostBlockDevice device, FileDescriptor file, CancellationToken cancel)
    {
        var path = await machine().PassFileAsync(file, cancel);
        var disk = new Disk(path, []);
        try
        {
            await machine().ExecuteAsync("blockdev-add", new JsonObject
            {
                ["driver"] = "host_device",
                ["node-name"] = name,
                ["filename"] = path,
                ["read-only"] = device.ReadOnly,
            }, cancel);
            // Another machine, or the same one with the read-only disk, may have it too.
            await machine().AddAsync("virtio-blk-pci", name, new JsonObject { ["drive"] = name, ["serial"] = name, ["share-rw"] = true }, cancel);
            return disk;
        }
        catch
        {
            await DropAsync(name, disk, CancellationToken.None);
            throw;
        }
    }

    private async Task UnplugAsync(string name, Disk disk, CancellationToken cancel)
    {
        await machine().RemoveAsync(name, cancel);
        await DropAsync(name, disk, cancel);
    }

    private async Task DropAsync(string name, Disk disk, CancellationToken cancel)
    {
        try
        {
            await machine().ExecuteAsync("blockdev-del", new JsonObject { ["node-name"] = name }, cancel);
        }
        catch (QmpException error)
        {
            log($"{name}: {error.Message}");
        }
        var set = int.Parse(disk.Set[(disk.Set.LastIndexOf('/') + 1)..], CultureInfo.InvariantCulture);
        await machine().ExecuteAsync("remove-fd", new JsonObject { ["fdset-id"] = set }, cancel);
    }

    /// <summary>By its number: no name of the host is looked up. Null: the host has no such device, and the node stays what it says.</summary>
    private static FileDescriptor? Open(HostBlockDevice device)
    {
        try
        {
            using var files = Mounts.Create("tmpfs", "block", []);
            var directory = new RootDirectory(files);
            directory.MakeNode("/node", Node, device.Major, device.Minor, 0, 0);
            return directory.Open("/node", device.ReadOnly ? Files.ReadOnly : Files.ReadWrite);
        }
        catch (LinuxException error) when (error.Errno is Errno.ENXIO or Errno.ENODEV)
        {
            return null;
        }
        catch (LinuxException error)
        {
            throw new RuntimeException($"linux.devices: {device.Path}: block device {device.Major}:{device.Minor} of the host: {error.Errno.Text()}", cause: error);
        }
    }
}
