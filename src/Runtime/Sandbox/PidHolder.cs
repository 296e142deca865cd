using KataLike.Linux;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// A pid of the host that stands for one container only: that of a parked thread. Callers name the namespaces of a container that
/// runs by its pid (/proc/PID/ns/pid), and with one pid for all of a pod nobody could tell whose are meant.
/// </summary>
internal sealed class PidHolder : IDisposable
{
    private readonly ManualResetEventSlim _over = new();
    private readonly Thread _thread;

    /// <param name="network">The network namespace that the pid's is to be; null: the process's.</param>
    public PidHolder(FileDescriptor? network = null)
    {
        var known = new TaskCompletionSource<int>();
        _thread = new Thread(() =>
        {
            if (network is not null)
                NetworkNamespaces.Enter(network);
            // "PID/task/TID"
            known.SetResult(int.Parse(Path.GetFileName(new FileInfo("/proc/thread-self").LinkTarget!)));
            _over.Wait();
        }, maxStackSize: 128 * 1024)
        { IsBackground = true, Name = "container" };
        _thread.Start();
        Pid = known.Task.GetAwaiter().GetResult();
    }

    public int Pid { get; }

    public void Dispose()
    {
        _over.Set();
        _thread.Join();
        _over.Dispose();
    }
}
