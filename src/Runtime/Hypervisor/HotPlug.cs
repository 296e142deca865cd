using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using KataLike.Linux;

namespace KataLike.Runtime.Hypervisor;

/// <summary>
/// Devices that come and go while the machine runs. QEMU gets what they are made of by descriptor, never by path. Needs
/// <see cref="MachineSpec.HotPlug"/>.
/// </summary>
internal sealed class HotPlug
{
    /// <summary>The bus that takes them: up to 30.</summary>
    public const string Bus = "hot";

    /// <summary>A guest that is booting loses the request: it is repeated.</summary>
    private static readonly TimeSpan Repetition = TimeSpan.FromSeconds(5);

    private readonly QmpClient _qmp;
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _leaving = new();

    public HotPlug(QmpClient qmp)
    {
        _qmp = qmp;
        qmp.Event += Note;
    }

    /// <summary>Any other command of QMP.</summary>
    /// <exception cref="QmpException">QEMU refused, or is gone.</exception>
    public Task<JsonElement> ExecuteAsync(string command, JsonObject arguments, CancellationToken cancel = default) =>
        _qmp.ExecuteAsync(command, arguments, null, cancel);

    /// <summary>Gives QEMU a descriptor for a network back end, which then names it.</summary>
    public Task PassAsync(string name, FileDescriptor descriptor, CancellationToken cancel = default) =>
        _qmp.ExecuteAsync("getfd", new JsonObject { ["fdname"] = name }, descriptor, cancel);

    /// <summary>Gives QEMU a descriptor for a block back end: what it then opens as this path.</summary>
    public async Task<string> PassFileAsync(FileDescriptor descriptor, CancellationToken cancel = default)
    {
        var answer = await _qmp.ExecuteAsync("add-fd", null, descriptor, cancel);
        return $"/dev/fdset/{answer.GetProperty("fdset-id").GetInt32()}";
    }

    /// <summary>Plugs a virtio device in. The guest sees it a little later.</summary>
    public Task AddAsync(string driver, string id, JsonObject properties, CancellationToken cancel = default)
    {
        properties["driver"] = driver;
        properties["id"] = id;
        properties["bus"] = Bus;
        // Of ports, which the old interface has, the bus has none to give. vhost-user devices never had that interface.
        if (!driver.StartsWith("vhost-user-", StringComparison.Ordinal))
            properties["disable-legacy"] = "on";
        return _qmp.ExecuteAsync("device_add", properties, null, cancel);
    }

    /// <summary>Takes a device away: returns when the guest has let go of it. A device that is not there is gone.</summary>
    public async Task RemoveAsync(string id, CancellationToken cancel = default)
    {
        var gone = _leaving.GetOrAdd(id, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        try
        {
            do
            {
                if (!await RequestAsync(id, cancel))
                    return;
            }
            while (await Task.WhenAny(gone, Task.Delay(Repetition, cancel)) != gone && !cancel.IsCancellationRequested);
            cancel.ThrowIfCancellationRequested();
        }
        finally
        {
            _leaving.TryRemove(id, out _);
        }
    }

    private async Task<bool> RequestAsync(string id, CancellationToken cancel)
    {
        try
        {
            await _qmp.ExecuteAsync("device_del", new JsonObject { ["id"] = id }, null, cancel);
            return true;
        }
        catch (QmpException error) when (error.Kind == "DeviceNotFound")
        {
            return false;
        }
        catch (QmpException error) when (error.Message.Contains("in the process of unplug", StringComparison.Ordinal))
        {
            return true;
        }
    }

    private void Note(string name, JsonElement? data)
    {
        if (name == "DEVICE_DELETED" && data is { ValueKind: JsonValueKind.Object } details &&
            details.TryGetProperty("device", out var device) && device.ValueKind == JsonValueKind.String
            && device.GetString() is { } id && _leaving.TryGetValue(id, out var gone))
            gone.TrySetResult();
    }
}
