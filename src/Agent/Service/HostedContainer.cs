using System.Collections.Concurrent;
using KataLike.Agent.Containers;
using KataLike.Agent.Streams;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>A container with its processes, and what may be asked of it in which state.</summary>
internal sealed class HostedContainer : IDisposable
{
    private const int SigKill = 9;

    private readonly Container _container;
    private readonly HostedProcess _first;

    // A null holds the id of a process that is being started.
    private readonly ConcurrentDictionary<string, HostedProcess?> _execs = new();

    // What changes the container, one call at a time. Signals, Wait and figures do not queue behind a start that hangs.
    private readonly Lock _lock = new();
    private volatile bool _started;
    private volatile bool _paused;

    public HostedContainer(Container container, ProcessStreams streams, Task<ProcessExit> exited)
    {
        _container = container;
        _first = new HostedProcess(container.Process, streams, exited, MemoryRanOut, container.SharesProcesses ? () => container.KillAll(SigKill) : null);
    }

    public int Pid => _first.Pid;

    public Container Container => _container;

    private string Status => _first.HasEnded ? "stopped" : _paused ? "paused" : _started ? "running" : "created";

    public void Start(Reaper reaper)
    {
        lock (_lock)
        {
            if (_first.HasEnded)
            {
                throw Refused("cannot start a container that has stopped");
            }
            if (_started)
            {
                throw Refused("cannot start an already running container");
            }
            _started = true;
            using var launch = reaper.BeginLaunch();
            _container.Start(launch.Adopt);
        }
    }

    /// <summary>Adds a process. Its streams are this object's from here on, whatever happens.</summary>
    public int Exec(string id, ProcessSpec process, ProcessStreams streams, Reaper reaper)
    {
        try
        {
            lock (_lock)
            {
                RefuseExec();
                if (!_execs.TryAdd(id, null))
                {
                    throw new TtrpcException(StatusCode.AlreadyExists, $"exec {id} already exists");
                }
                try
                {
                    using var launch = reaper.BeginLaunch();
                    var started = _container.Exec(process, streams.Stdio);
                    var exec = new HostedProcess(started, streams, launch.Adopt(started.Pid), MemoryRanOut);
                    _execs[id] = exec;
                    return exec.Pid;
                }
                catch
                {
                    _execs.TryRemove(id, out _);
                    throw;
                }
            }
        }
        catch
        {
            streams.Dispose();
            throw;
        }
    }

    /// <summary>The first process where the exec's id is empty.</summary>
    public HostedProcess Process(string execId) => execId.Length == 0 ? _first
        : _execs.GetValueOrDefault(execId) ?? throw new TtrpcException(StatusCode.NotFound, "process does not exist");

    public void Signal(string execId, int number, bool all)
    {
        if (all)
        {
            _first.NoteSignal(number);
            _container.KillAll(number);
            return;
        }
        var process = Process(execId);
        if (process.HasEnded)
        {
            throw Refused(execId.Length == 0 ? "container not running" : "process already finished");
        }
        process.Signal(number);
    }

    public void Pause()
    {
        lock (_lock)
        {
            if (Status is not "running")
            {
                throw Refused("container not running");
            }
            _container.Pause();
            _paused = true;
        }
    }

    public void Resume()
    {
        lock (_lock)
        {
            if (Status is not "paused")
            {
                throw Refused("container not paused");
            }
            _container.Resume();
            _paused = false;
        }
    }

    public void Update(Resources resources)
    {
        lock (_lock)
        {
            RefuseStopped();
            _container.Update(resources);
        }
    }

    public StatsResponse Stats() => _container.Stats();

    public ProcessesResponse Processes()
    {
        var execs = _execs.Where(exec => exec.Value is { HasEnded: false })
            .ToDictionary(exec => exec.Value!.Pid, exec => exec.Key);
        var processes = new ProcessesResponse();
        foreach (var pid in _container.ProcessIds())
        {
            if (ProcessFiles.TryRead(pid) is { } process)
            {
                process.ExecId = execs.GetValueOrDefault(pid, "");
                processes.Processes.Add(process);
            }
        }
        return processes;
    }

    public void DeleteExec(string id)
    {
        var process = Process(id);
        if (!process.HasEnded)
        {
            throw Refused($"cannot delete exec {id} that is not stopped: running");
        }
        if (_execs.TryRemove(id, out _))
        {
            process.Dispose();
        }
    }

    /// <summary>Frees the container. One that was never started is ended first, as runc does.</summary>
    public async Task DeleteAsync()
    {
        lock (_lock)
        {
            if (Status is not ("created" or "stopped"))
            {
                throw Refused($"cannot delete container {_container.Id} that is not stopped: {Status}");
            }
            _container.KillAll(SigKill);
        }
        await _first.End;
        lock (_lock)
        {
            _container.Delete();
        }
    }

    public void Kill()
    {
        _first.NoteSignal(SigKill);
        _container.KillAll(SigKill);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (var exec in _execs.Values)
            {
                exec?.Dispose();
            }
            _first.Dispose();
            _container.Dispose();
        }
    }

    private void RefuseExec()
    {
        if (_first.HasEnded)
        {
            throw Refused("cannot exec in a stopped container");
        }
        if (_paused)
        {
            throw Refused("cannot exec in a paused container");
        }
    }

    private void RefuseStopped()
    {
        if (_first.HasEnded)
        {
            throw Refused("container not running");
        }
    }

    private bool MemoryRanOut()
    {
        try
        {
            return _container.Stats().Memory?.Events.GetValueOrDefault("oom_kill") > 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static TtrpcException Refused(string message) => new(StatusCode.FailedPrecondition, message);
}
