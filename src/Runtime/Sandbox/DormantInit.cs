using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// The first process of a pod's sandbox container ("pause") while the guest has none: it would only sleep and hold namespaces,
/// which the agent does without it. For callers it runs. It comes to be when somebody wants to share its pid namespace or to enter it.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "a semaphore that nobody polls owns nothing")]
internal sealed class DormantInit(Bundle bundle, SharePlan plan)
{
    private readonly SemaphoreSlim _changing = new(1);
    private bool _awake;

    /// <summary>Whether such a container can do without: nobody reads what it writes, and nothing is to be run in it.</summary>
    public static bool IsEnoughFor(Bundle bundle, ProcessStreams streams) =>
        bundle.IsSandboxContainer && streams is { Stdin: null, Stdout: null, Stderr: null } &&
        bundle.Spec is { Process.Terminal: false, Linux: { } linux } && linux.FindNamespace("user") is null && linux.FindNamespace("time") is null &&
        bundle.Spec.Hooks is not { CreateContainer.Count: > 0 } and not { StartContainer.Count: > 0 };

    /// <summary>Makes the process, once.</summary>
    /// <param name="create">With the bundle and what it shares.</param>
    public async Task WakeAsync(Func<Bundle, SharePlan, Task> create, CancellationToken cancel)
    {
        await _changing.WaitAsync(cancel);
        try
        {
            if (!_awake)
                await create(bundle, plan);
            _awake = true;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Does what a process does that sleeps and ends by SIGTERM or SIGINT; false: there is a real one.</summary>
    public async Task<bool> SignalAsync(Process process, uint signal, CancellationToken cancel)
    {
        await _changing.WaitAsync(cancel);
        try
        {
            if (_awake)
                return false;
            if (process.State == ProcessState.Stopped)
                throw new TtrpcException(StatusCode.NotFound, "process already finished");
            // As the first process of a pid namespace it does not see a signal that it has no handler for.
            if (signal is Signals.SIGKILL or Signals.SIGTERM or Signals.SIGINT)
                process.MarkExited(new ProcessExit(signal == Signals.SIGKILL ? ProcessExit.MachineLost : 0, DateTimeOffset.UtcNow, false));
            return true;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Whether the guest has the process by now.</summary>
    public bool IsAwake => Volatile.Read(ref _awake);
}
