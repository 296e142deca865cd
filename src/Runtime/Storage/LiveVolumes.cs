using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>
/// Volumes whose updates a container is to see as on a host, inotify included: configmaps, secrets, projected volumes and the
/// downward API. The guest keeps a copy of each; this watches the originals and tells the agent when to look again.
/// </summary>
/// <remarks>
/// The host reads one link of such a directory and no file: the agent fetches the content by way of the share, which leads
/// nowhere else. A volume that cannot be watched or copied stays the plain share that it is.
/// </remarks>
/// <param name="update">Calls the agent.</param>
internal sealed class LiveVolumes(Func<UpdateVolumeRequest, CancellationToken, Task> update, Action<string> log) : IDisposable
{
    private const int MaxAttempts = 20;

    private readonly Lock _lock = new();
    private readonly List<LiveVolume> _volumes = [];
    private FileWatch? _watch;
    private bool _disposed;

    /// <summary>Has the guest copy those of a container's volumes that change this way, and follows them from here on.</summary>
    public async Task AddAsync(string containerId, SharePlan plan, CancellationToken cancel)
    {
        foreach (var share in plan.Shares.Where(share => share.ReadOnly && share.Name != SharePlan.RootfsName))
        {
            var told = plan.Told(share);
            if (told.SourceCase != MountSource.SourceOneofCase.Shared || AtomicDirectory.TryOpen(share.Source) is not { } directory)
                continue;
            var volume = new LiveVolume(containerId, told.Shared, directory);
            try
            {
                // First, so that no change is missed.
                Watch(volume);
                await CopyAsync(volume, cancel);
                told.Volume = told.Shared;
                _ = FollowAsync(volume);
            }
            catch (Exception error) when (error is LinuxException || error is TtrpcException { Code: StatusCode.NotFound or StatusCode.ResourceExhausted })
            {
                log($"{share.Source}: shared as it is, containers will not be told of changes: {error.Message}");
                Forget(volume);
            }
            catch
            {
                Forget(volume);
                throw;
            }
        }
    }

    public void Remove(string containerId)
    {
        List<LiveVolume> gone;
        lock (_lock)
            gone = [.. _volumes.Where(volume => volume.ContainerId == containerId)];
        gone.ForEach(Forget);
    }

    private void Watch(LiveVolume volume)
    {
        lock (_lock)
        {
            if (_watch is null)
            {
                var watch = _watch = new FileWatch();
                new Thread(() => Listen(watch), maxStackSize: 256 * 1024) { IsBackground = true, Name = "volumes" }.Start();
            }
            volume.Watch = _watch.AddEntries(volume.Directory);
            _volumes.Add(volume);
        }
    }

    private void Forget(LiveVolume volume)
    {
        lock (_lock)
        {
            // Containers that share a volume share its watch.
            if (_volumes.Remove(volume) && !_volumes.Exists(other => other.Watch == volume.Watch))
                _watch?.Remove(volume.Watch);
        }
        volume.Dispose();
    }

    private void Listen(FileWatch watch)
    {
        while (true)
        {
            var changed = watch.Next();
            lock (_lock)
            {
                if (_disposed)
                {
                    watch.Dispose();
                    return;
                }
                // -1: so many changes that the kernel has dropped some.
                foreach (var volume in _volumes.Where(volume => changed.Contains(volume.Watch) || changed.Contains(-1)))
                    volume.NoteChange();
            }
        }
    }

    private async Task FollowAsync(LiveVolume volume)
    {
        while (await volume.ChangedAsync())
        {
            try
            {
                await CopyAsync(volume, CancellationToken.None);
            }
            catch (Exception error) when (error is LinuxException or TtrpcException or IOException)
            {
                log($"{volume.Shared}: not updated: {error.Message}");
            }
            catch (ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task CopyAsync(LiveVolume volume, CancellationToken cancel)
    {
        for (var attempt = 1; volume.Data is { } data; attempt++)
        {
            try
            {
                await update(new UpdateVolumeRequest { Shared = volume.Shared, Data = data }, cancel);
                return;
            }
            catch (TtrpcException error) when (error.Code == StatusCode.NotFound && attempt < MaxAttempts && volume.Data != data)
            {
                // The writer has replaced and removed what was being read.
            }
        }
    }

    public void Dispose()
    {
        List<LiveVolume> all;
        lock (_lock)
        {
            _disposed = true;
            all = [.. _volumes];
            // The kernel tells of the removal of a watch: that ends the thread.
            if (_watch is { } watch)
                watch.Remove(watch.Add("/"));
        }
        all.ForEach(Forget);
    }
}
