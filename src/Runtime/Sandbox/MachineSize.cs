using System.Text.Json.Nodes;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// The size of a running machine, which follows its containers' limits: memory by virtio-mem, processors by ACPI under KVM,
/// and under emulation, where Linux takes no processor that was not there when it booted, by bringing one online.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "a semaphore that nobody polls owns nothing")]
internal sealed class MachineSize(Configuration configuration, SandboxSize size, Accelerator accelerator, HotPlug devices, AgentClient agent)
{
    /// <summary>What Linux plugs at once, MiB: a request is a multiple.</summary>
    private const long MemoryStepMib = 16;

    /// <summary>How long a guest may take to make the memory its own. It is not asked again: with less it goes on.</summary>
    private static readonly TimeSpan MemoryPatience = TimeSpan.FromSeconds(10), Interval = TimeSpan.FromMilliseconds(10);

    private readonly SemaphoreSlim _changing = new(1);
    private long _addedMib;
    private int _plugged = size.Vcpus, _online = size.Vcpus;

    /// <summary>How many processors the guest had when it booted.</summary>
    public int InitialVcpus => size.Vcpus;

    /// <summary>Grows, or shrinks, to what these limits need. What was there when the machine started stays.</summary>
    /// <exception cref="QmpException">QEMU refused.</exception>
    /// <exception cref="TtrpcException">The agent did.</exception>
    public async Task FitAsync(Func<IEnumerable<Resources?>> containers, bool mayShrink, CancellationToken cancel)
    {
        await _changing.WaitAsync(cancel);
        try
        {
            var (memory, vcpus) = SandboxSize.Needed(configuration, containers());
            var added = Addition(memory);
            var online = (int)Math.Clamp(vcpus, size.Vcpus, size.MaxVcpus);
            if (added > _addedMib || mayShrink && added < _addedMib)
                await SetMemoryAsync(added, cancel);
            if (online > _online || mayShrink && online < _online)
                await SetProcessorsAsync(online, cancel);
        }
        finally
        {
            _changing.Release();
        }
    }

    private long Addition(long memoryMib) => Math.Min(
        (Math.Max(memoryMib - size.MemoryMib, 0) + MemoryStepMib - 1) / MemoryStepMib * MemoryStepMib,
        QemuCommandLine.MemoryToComeMib(size.MemoryMib, size.MaxMemoryMib));

    private async Task SetMemoryAsync(long added, CancellationToken cancel)
    {
        var grows = added > _addedMib;
        await devices.ExecuteAsync("qom-set", new JsonObject
        {
            ["path"] = QemuCommandLine.MemoryDevice,
            ["property"] = "requested-size",
            ["value"] = added << 20,
        }, cancel);
        _addedMib = added;
        // QEMU's event may be a second late. What the guest gives back may come at any time.
        for (var waited = TimeSpan.Zero; grows && waited < MemoryPatience && await PluggedMemoryAsync(cancel) < added << 20; waited += Interval)
            await Task.Delay(Interval, cancel);
    }

    private async Task<long> PluggedMemoryAsync(CancellationToken cancel)
    {
        var answer = await devices.ExecuteAsync("qom-get", new JsonObject { ["path"] = QemuCommandLine.MemoryDevice, ["property"] = "size" }, cancel);
        return answer.GetInt64();
    }

    private async Task SetProcessorsAsync(int count, CancellationToken cancel)
    {
        if (accelerator == Accelerator.Kvm && count > _plugged)
            await PlugProcessorsAsync(count - _plugged, cancel);
        await agent.SetProcessorsAsync(new SetProcessorsRequest { Count = (uint)count }, cancel);
        _online = count;
    }

    /// <summary>One that is offline costs nothing: none is taken out again.</summary>
    private async Task PlugProcessorsAsync(int more, CancellationToken cancel)
    {
        var slots = await devices.ExecuteAsync("query-hotpluggable-cpus", [], cancel);
        // QEMU lists the highest number first; one that has a path is plugged in.
        foreach (var slot in slots.EnumerateArray().Reverse().Where(slot => !slot.TryGetProperty("qom-path", out _)).Take(more))
        {
            var arguments = JsonObject.Create(slot.GetProperty("props"))!;
            arguments["driver"] = slot.GetProperty("type").GetString();
            arguments["id"] = $"cpu{_plugged}";
            await devices.ExecuteAsync("device_add", arguments, cancel);
            _plugged++;
        }
    }
}
