using System.Diagnostics;
using System.Net.Sockets;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Templates;

namespace KataLike.Runtime.Pools;

/// <summary>
/// Keeps as many processes with a machine as the configuration says, and hands a connection to one of them to whoever asks and may
/// have it. What the caller then says to it is between the two of them.
/// </summary>
internal sealed class PoolKeeper : IAsyncDisposable
{
    public const string Socket = "pool.sock", Members = "members";

    /// <summary>Without a request for so long, so that no start is made slower by the machine that will take its place.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(0.5);

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1), LongestPause = TimeSpan.FromMinutes(1), EndingPatience = TimeSpan.FromSeconds(10);

    private readonly Configuration _configuration;
    private readonly string? _configurationPath;
    private readonly Action<string> _log;
    private readonly FileDescriptor _directory;
    private readonly Socket _listener;
    private readonly Lock _lock = new();
    private readonly List<Member> _members = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _lastRequest;

    /// <summary>Owns the pool's directory, and listens there.</summary>
    /// <exception cref="RuntimeException">Another process does.</exception>
    public PoolKeeper(Configuration configuration, string? configurationPath, Action<string> log)
    {
        (_configuration, _configurationPath, _log) = (configuration, configurationPath, log);
        StateRoot.Make(configuration.PoolDirectory);
        _directory = Files.Open(configuration.PoolDirectory, Files.ReadOnly | Files.Directory | Files.NoFollow);
        if (!FileLock.TryAcquire(_directory))
        {
            _directory.Dispose();
            throw new RuntimeException($"pool: another process keeps the one in {configuration.PoolDirectory}");
        }
        StateRoot.Make($"{configuration.PoolDirectory}/{Members}");
        RemoveLeftovers();
        File.Delete($"{configuration.PoolDirectory}/{Socket}");
        var listener = UnixSockets.Listen(_directory, Socket);
        File.SetUnixFileMode($"{configuration.PoolDirectory}/{Socket}", UnixFileMode.UserRead | UnixFileMode.UserWrite);
        _listener = new Socket(new SafeSocketHandle(listener.Number, ownsHandle: true));
        listener.SetHandleAsInvalid();
    }

    /// <summary>Whether a process keeps a pool there.</summary>
    public static bool IsKept(string directory)
    {
        if (!Directory.Exists(directory))
            return false;
        using var handle = Files.Open(directory, Files.ReadOnly | Files.Directory);
        return !FileLock.TryAcquire(handle);
    }

    /// <summary>A process that waits, or is getting ready to.</summary>
    /// <param name="Connection">Whoever has it can tell it what to be; when it is closed before, the process ends.</param>
    private sealed record Member(ChildProcess Process, FileDescriptor Connection)
    {
        public bool IsReady { get; set; }
    }

    /// <summary>Keeps the pool until told to stop.</summary>
    /// <param name="full">Told each time that all are ready.</param>
    public async Task RunAsync(Action full, CancellationToken stop)
    {
        var serving = ServeAsync(stop);
        var pause = FirstPause;
        try
        {
            while (true)
            {
                var change = Change();
                if (Count() >= _configuration.PoolSize)
                {
                    full();
                    while (Count() >= _configuration.PoolSize)
                    {
                        await change.WaitAsync(stop);
                        change = Change();
                    }
                }
                while (Stopwatch.GetElapsedTime(Volatile.Read(ref _lastRequest)) is var quiet && quiet < Quiet)
                    await Task.Delay(Quiet - quiet, stop);
                if (await AddAsync(stop))
                {
                    pause = FirstPause;
                    continue;
                }
                await Task.Delay(pause, stop);
                pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, LongestPause.Ticks));
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await serving;
        }
    }

    private Task Change()
    {
        lock (_lock)
            return _changed.Task;
    }

    private int Count()
    {
        lock (_lock)
            return _members.Count;
    }

    /// <summary>Starts one and waits until it is ready; false: it has ended before, and has said why.</summary>
    private async Task<bool> AddAsync(CancellationToken stop)
    {
        await MakeTemplateAsync();
        var (ours, theirs) = UnixSockets.Pair();
        var (read, write) = Files.Pipe();
        Member member;
        using (theirs)
        using (write)
        {
            member = new Member(
                ChildProcess.Start(new ProcessStart
                {
                    Path = "/proc/self/exe",
                    Arguments = ["katalike", "pool-member", .. _configurationPath is { } path ? [path] : Array.Empty<string>()],
                    Environment = [$"PATH={Environment.GetEnvironmentVariable("PATH")}"],
                    Descriptors = [(theirs, PoolMember.ConnectionNumber), (write, PoolMember.ReadyNumber), (Cli.StandardStreams.Get(2), 2)],
                    NewSession = true,
                    WorkingDirectory = "/",
                }), ours);
        }
        lock (_lock)
            _members.Add(member);
        _ = FollowAsync(member);
        using (read)
            member.IsReady = await Task.Run(() => Files.Read(read, stackalloc byte[1]) == 1, stop).WaitAsync(stop);
        return member.IsReady;
    }

    /// <summary>A machine that is the copy of a template is ready ten times sooner. Without one it boots.</summary>
    private async Task MakeTemplateAsync()
    {
        var store = new TemplateStore(_configuration.TemplateDirectory);
        try
        {
            if (TemplatePlan.For(_configuration) is { } plan && !store.HasAll(plan))
                await TemplateMaker.MakeAsync(_configuration, plan, store, _log);
        }
        catch (Exception error) when (error is VmException or IOException or UnauthorizedAccessException)
        {
            _log($"pool: template: {error.Message}");
        }
    }

    private async Task FollowAsync(Member member)
    {
        await member.Process.Exited;
        Remove(member);
        member.Connection.Dispose();
        new SandboxDirectory($"{_configuration.PoolDirectory}/{Members}/{member.Process.Pid}").RemoveStale();
    }

    /// <summary>True: it was one of ours until now.</summary>
    private bool Remove(Member member)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            if (!_members.Remove(member))
                return false;
            (changed, _changed) = (_changed, new(TaskCreationOptions.RunContinuationsAsynchronously));
        }
        changed.SetResult();
        return true;
    }

    private async Task ServeAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using var caller = await _listener.AcceptAsync(stop);
                Volatile.Write(ref _lastRequest, Stopwatch.GetTimestamp());
                using var connection = new FileDescriptor((int)caller.Handle, ownsHandle: false);
                if (PoolPeer.Refusal(PeerCredentials.Of(connection)) is { } reason)
                    _log($"pool: none for process {PeerCredentials.Of(connection).Pid}: {reason}");
                else if (Next() is { } member)
                    HandOut(member, connection);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception error) when (error is SocketException or IOException)
            {
                // No descriptor left, for example. The caller starts a process of its own meanwhile.
                _log($"pool: {error.Message}");
                await Task.WhenAny(Task.Delay(FirstPause, stop));
            }
        }
    }

    /// <summary>The one that has waited longest.</summary>
    private Member? Next()
    {
        lock (_lock)
            return _members.FirstOrDefault(member => member.IsReady);
    }

    private void HandOut(Member member, FileDescriptor caller)
    {
        if (!Remove(member))
            return;
        UnixSockets.TrySend(caller, "\n"u8, [member.Connection]);
        member.Connection.Dispose();
        member.Process.Dispose();
    }

    /// <summary>Directories of processes that were killed while they waited, and whose keeper was too.</summary>
    private void RemoveLeftovers()
    {
        foreach (var directory in Directory.EnumerateDirectories($"{_configuration.PoolDirectory}/{Members}"))
            new SandboxDirectory(directory).RemoveStale();
    }

    /// <summary>Ends those that wait. Those that were claimed go on.</summary>
    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        File.Delete($"{_configuration.PoolDirectory}/{Socket}");
        List<Member> left;
        lock (_lock)
            left = [.. _members];
        foreach (var member in left)
            member.Connection.Dispose();
        var ended = Task.WhenAll(left.Select(member => member.Process.Exited));
        if (await Task.WhenAny(ended, Task.Delay(EndingPatience)) != ended)
        {
            left.ForEach(member => member.Process.Signal(Signals.SIGKILL));
            await ended;
            RemoveLeftovers();
        }
        _directory.Dispose();
    }
}
