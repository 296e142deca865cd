using System.Collections.Concurrent;
using KataLike.Linux;

namespace KataLike.Agent.Streams;

/// <summary>One thread that waits for all non-blocking descriptors (edge-triggered) and runs what is posted to it.</summary>
/// <remarks>Callbacks and posted actions run on the loop's thread, and must not block.</remarks>
internal sealed class EventLoop : IDisposable
{
    private const ulong WakeKey = 0;

    private readonly Epoll _epoll = new();
    private readonly FileDescriptor _wake = Polling.CreateEvent();
    private readonly ConcurrentQueue<Action> _posted = new();
    private readonly ConcurrentDictionary<ulong, Action<PollEvents>> _watched = new();
    private ulong _lastKey = WakeKey;
    private volatile bool _stopped;

    public EventLoop() => _epoll.Add(_wake, PollEvents.Readable, WakeKey);

    /// <summary>Calls back at every change of a descriptor's readiness, and once at the start. From any thread.</summary>
    /// <returns>The key to <see cref="Forget"/> it by.</returns>
    public ulong Watch(FileDescriptor descriptor, PollEvents events, Action<PollEvents> ready)
    {
        var key = Interlocked.Increment(ref _lastKey);
        _watched[key] = ready;
        _epoll.Add(descriptor, events | PollEvents.EdgeTriggered, key);
        return key;
    }

    /// <summary>To be called before a watched descriptor is closed.</summary>
    public void Forget(FileDescriptor descriptor, ulong key)
    {
        _epoll.Remove(descriptor);
        _watched.TryRemove(key, out _);
    }

    /// <summary>Runs an action on the loop's thread, soon. From any thread.</summary>
    public void Post(Action action)
    {
        _posted.Enqueue(action);
        Polling.Signal(_wake);
    }

    /// <summary>Runs until <see cref="Stop"/>.</summary>
    public void Run()
    {
        while (!_stopped)
        {
            foreach (var happened in _epoll.Wait())
            {
                if (happened.Key == WakeKey)
                {
                    Polling.Clear(_wake);
                    RunPosted();
                }
                else if (_watched.TryGetValue(happened.Key, out var ready))
                {
                    ready(happened.Events);
                }
            }
        }
    }

    public void Stop()
    {
        _stopped = true;
        Polling.Signal(_wake);
    }

    public void Dispose()
    {
        _epoll.Dispose();
        _wake.Dispose();
    }

    /// <summary>Only those that are queued now: what they post has its turn after the descriptors.</summary>
    private void RunPosted()
    {
        for (var count = _posted.Count; count > 0 && _posted.TryDequeue(out var action); count--)
        {
            action();
        }
    }
}
