using KataLike.Agent.Containers;
using KataLike.Agent.Streams;

namespace KataLike.Agent.Service;

/// <summary>How a process ended, as Wait tells it.</summary>
internal readonly record struct ProcessEnd(ProcessExit Exit, bool OutOfMemory, bool StreamsHeld);

/// <summary>A process of a container with its streams, from its start until it is deleted.</summary>
internal sealed class HostedProcess : IDisposable
{
    private const int SigKill = 9;

    private readonly ContainerProcess _process;
    private readonly ProcessStreams _streams;
    private readonly Task<ProcessExit> _exited;
    private volatile bool _killed;

    /// <param name="memoryRanOut">Whether the container's memory limit has killed a process.</param>
    /// <param name="ended">Called when it has ended; null: nothing follows from that.</param>
    public HostedProcess(
        ContainerProcess process, ProcessStreams streams, Task<ProcessExit> exited, Func<bool> memoryRanOut, Action? ended = null)
    {
        (_process, _streams, _exited) = (process, streams, exited);
        streams.Attach(process.Terminal);
        End = FinishAsync(memoryRanOut, ended);
    }

    public int Pid => _process.Pid;

    public bool HasEnded => _exited.IsCompleted;

    /// <summary>Completes when it has ended and what it had written has been handed on.</summary>
    public Task<ProcessEnd> End { get; }

    public void Signal(int number)
    {
        _killed |= number == SigKill;
        _process.Signal(number);
    }

    public void Resize(uint columns, uint rows) => _streams.Resize(columns, rows);

    /// <summary>Told when the whole container gets the signal.</summary>
    public void NoteSignal(int number) => _killed |= number == SigKill;

    public void Dispose()
    {
        _streams.Dispose();
        _process.Dispose();
    }

    private async Task<ProcessEnd> FinishAsync(Func<bool> memoryRanOut, Action? ended)
    {
        var exit = await _exited;
        ended?.Invoke();
        var outOfMemory = exit.Code == 128 + SigKill && !_killed && memoryRanOut();
        return new ProcessEnd(exit, outOfMemory, await _streams.DrainAsync());
    }
}
