using KataLike.Linux;

namespace KataLike.Runtime.Templates;

/// <summary>
/// A process that makes the template that a sandbox has missed. It is started before the sandbox joins a cgroup, so that no pod
/// pays for it; works once the sandbox has lived for a while, so that neither a start nor a short life is made slower; and ends with it.
/// </summary>
internal sealed class TemplateChild : IAsyncDisposable
{
    private const int SigKill = 9;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly FileDescriptor _gate;
    private readonly TemplateStore _store;
    private readonly CancellationTokenSource _ending = new();
    private readonly Task<ChildProcess> _child;

    /// <param name="configuration">Path of the configuration; null: the usual one.</param>
    public TemplateChild(string? configuration, TemplateStore store)
    {
        _store = store;
        var (read, write) = Files.Pipe();
        _gate = write;
        var started = new TaskCompletionSource<ChildProcess>(TaskCreationOptions.RunContinuationsAsynchronously);
        _child = started.Task;
        // The child is killed when this thread ends, so it lives as long as the child.
        new Thread(() =>
        {
            try
            {
                var child = Start(configuration, read);
                started.SetResult(child);
                child.Exited.Wait();
            }
            catch (LinuxException error)
            {
                started.SetException(error);
            }
            finally
            {
                read.Dispose();
            }
        }, maxStackSize: 256 * 1024)
        { IsBackground = true, Name = "template" }.Start();
    }

    private static ChildProcess Start(string? configuration, FileDescriptor gate)
    {
        string[] options = configuration is null ? [] : ["--config", configuration];
        return ChildProcess.Start(new ProcessStart
        {
            Path = "/proc/self/exe",
            Arguments = ["katalike", .. options, "template", "--when-told"],
            Environment = [$"PATH={Environment.GetEnvironmentVariable("PATH")}"],
            Descriptors = [(gate, 0)],
            ParentDeathSignal = SigKill,
            WorkingDirectory = "/",
        });
    }

    /// <summary>From now on the sandbox is as its user wanted it.</summary>
    public async Task BeginAsync()
    {
        try
        {
            await Task.Delay(Patience, _ending.Token);
            Files.TryWrite(_gate, "\n"u8);
        }
        catch (OperationCanceledException)
        {
            // The sandbox has ended before.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        _gate.Dispose();
        try
        {
            using var child = await _child;
            child.Signal(SigKill);
            await child.Exited;
        }
        catch (LinuxException)
        {
            // It never was.
        }
        _store.RemoveUnfinished();
        _ending.Dispose();
    }
}
