using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>How and when a process ended.</summary>
/// <param name="Code">0 to 255; 128 plus the signal's number where one ended it.</param>
internal readonly record struct ProcessExit(int Code, DateTimeOffset At);

/// <summary>
/// The one place that waits for children. It reaps every process that the machine leaves to PID 1, and tells the owners
/// of those that were adopted.
/// </summary>
internal sealed class Reaper
{
    private readonly object _lock = new();

    // All guarded by _lock.
    private readonly Dictionary<int, TaskCompletionSource<ProcessExit>> _owners = [];
    private readonly Dictionary<int, ProcessExit> _unclaimed = [];
    private int _launches;
    private long _arrivals;

    public void Start() => new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "reaper" }.Start();

    /// <summary>To be held around the start of a process: what ends before it is adopted is kept until the disposal.</summary>
    public Launch BeginLaunch()
    {
        lock (_lock)
        {
            _launches++;
        }
        return new Launch(this);
    }

    internal readonly struct Launch(Reaper reaper) : IDisposable
    {
        /// <summary>The exit of a process that was started during this launch, even when it has ended by now.</summary>
        public Task<ProcessExit> Adopt(int pid) => reaper.Adopt(pid);

        public void Dispose() => reaper.EndLaunch();
    }

    private Task<ProcessExit> Adopt(int pid)
    {
        lock (_lock)
        {
            if (_unclaimed.Remove(pid, out var exit))
            {
                return Task.FromResult(exit);
            }
            var owner = new TaskCompletionSource<ProcessExit>(TaskCreationOptions.RunContinuationsAsynchronously);
            _owners.Add(pid, owner);
            Arrive();
            return owner.Task;
        }
    }

    private void EndLaunch()
    {
        lock (_lock)
        {
            if (--_launches == 0)
            {
                _unclaimed.Clear();
            }
            Arrive();
        }
    }

    /// <summary>There may be a child now. Within the lock.</summary>
    private void Arrive()
    {
        _arrivals++;
        Monitor.PulseAll(_lock);
    }

    private void Run()
    {
        while (true)
        {
            var seen = Arrivals();
            if (Processes.TryWaitForAny() is var (pid, status))
                Settle(pid, new ProcessExit(status.Code, DateTimeOffset.UtcNow));
            else
                AwaitArrival(seen);
        }
    }

    private long Arrivals()
    {
        lock (_lock)
        {
            return _arrivals;
        }
    }

    /// <summary>There is no child to wait for, and only an arrival changes that.</summary>
    private void AwaitArrival(long seen)
    {
        lock (_lock)
        {
            while (_arrivals == seen)
            {
                Monitor.Wait(_lock);
            }
        }
    }

    private void Settle(int pid, ProcessExit exit)
    {
        lock (_lock)
        {
            if (_owners.Remove(pid, out var owner))
            {
                owner.SetResult(exit);
            }
            else if (_launches > 0)
            {
                _unclaimed[pid] = exit;
            }
        }
    }
}
