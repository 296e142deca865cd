using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Sandbox;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>
/// The sandbox process as the command line sees it: found by its directory, or started. A call takes what it takes, for the
/// process limits all that it does in the guest; but the process must show that it lives.
/// </summary>
internal sealed class SandboxClient : IAsyncDisposable
{
    private const int TimelineNumber = 5;

    /// <summary>Seconds that a call may take before the process is asked for a sign of life, and that it has for that.</summary>
    private const int QuietSeconds = 2, SignSeconds = 5;

    private readonly TtrpcClient connection;
    private readonly TaskClient tasks;
    private readonly string id;
    private readonly int pid;

    private SandboxClient(string id, FileDescriptor descriptor)
    {
        this.id = id;
        pid = PeerCredentials.Of(descriptor).Pid;
        var socket = new Socket(new SafeSocketHandle(descriptor.Number, ownsHandle: true));
        descriptor.SetHandleAsInvalid();
        connection = new TtrpcClient(new SocketStream(socket));
        tasks = new TaskClient(connection);
    }

    /// <summary>Null where no process serves the sandbox.</summary>
    public static SandboxClient? Connect(StateRoot root, string sandbox)
    {
        try
        {
            using var directory = Files.Open(root.SandboxDirectory(sandbox), Files.PathOnly | Files.Directory | Files.NoFollow);
            return new SandboxClient(sandbox, UnixSockets.Connect(directory, SandboxDirectory.TaskSocket));
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.ECONNREFUSED)
        {
            return null;
        }
    }

    /// <summary>Starts a sandbox process; returns once its sockets listen, while its machine still boots.</summary>
    /// <param name="timeline">Gets the marks of its timeline; null: nobody asked for one.</param>
    /// <exception cref="RuntimeException">It did not come up.</exception>
    public static SandboxClient Start(StateRoot root, string sandbox, string bundle, GlobalOptions global, FileDescriptor? timeline)
    {
        List<string> words = ["--root", root.Path, "--id", sandbox, "--bundle", bundle, "--door", "cli"];
        // It outlives this command: what becomes of it later is in the log that the caller named, or nowhere.
        if (global.Log.File is { } log)
            words.AddRange(["--log", log, "--log-format", global.Log.Json ? "json" : "text", .. global.Log.Debug ? ["--debug"] : Array.Empty<string>()]);
        if (timeline is not null)
            words.AddRange(["--timeline-fd", $"{TimelineNumber}"]);
        SandboxProcess.Start(
            global.ConfigurationPath, words, timeline is null ? [] : [(timeline, TimelineNumber)], $"the process of sandbox {sandbox} ended before it was ready");
        return Connect(root, sandbox) ?? throw new RuntimeException($"sandbox {sandbox} ended right after its start");
    }

    /// <summary>The process behind the socket, by pidfd; null when it has ended.</summary>
    public FileDescriptor? OpenProcess() => Processes.TryOpen(pid);

    /// <summary>Waits for the machine to boot and for hooks.</summary>
    public Task CreateAsync(CreateTaskRequest request) => CallAsync(cancel => tasks.CreateAsync(request, cancel));

    /// <summary>Waits for the guest and for hooks.</summary>
    public Task StartAsync(string container, string execId = "") =>
        CallAsync(cancel => tasks.StartAsync(new StartRequest { Id = container, ExecId = execId }, cancel));

    public Task ExecAsync(ExecProcessRequest request) => CallAsync(cancel => tasks.ExecAsync(request, cancel));

    public Task KillAsync(string container, int signal, bool all) => CallAsync(cancel => tasks.KillAsync(
        new KillRequest { Id = container, Signal = (uint)signal, All = all }, cancel));

    public Task<StateResponse> StateAsync(string container) =>
        CallAsync(cancel => tasks.StateAsync(new StateRequest { Id = container }, cancel));

    public Task WaitAsync(string container) => CallAsync(cancel => tasks.WaitAsync(new WaitRequest { Id = container }, cancel));

    public Task DeleteAsync(string container, string execId = "") =>
        CallAsync(cancel => tasks.DeleteAsync(new DeleteRequest { Id = container, ExecId = execId }, cancel));

    public Task PauseAsync(string container) => CallAsync(cancel => tasks.PauseAsync(new PauseRequest { Id = container }, cancel));

    public Task ResumeAsync(string container) =>
        CallAsync(cancel => tasks.ResumeAsync(new ResumeRequest { Id = container }, cancel));

    /// <param name="resources">linux.resources as JSON.</param>
    public Task UpdateAsync(string container, byte[] resources) => CallAsync(cancel => tasks.UpdateAsync(
        new UpdateTaskRequest { Id = container, Resources = new() { TypeUrl = TypeUrl.OciLinuxResources, Value = UnsafeByteOperations.UnsafeWrap(resources) } }, cancel));

    public Task<Contract.Agent.StatsResponse> StatsAsync(string container) =>
        CallAsync(cancel => SandboxTable.StatsAsync(connection, container, cancel));

    /// <summary>Waits for the container's next out-of-memory kill after those that were seen, or for its end.</summary>
    public Task<OutOfMemoryResponse> OutOfMemoryAsync(string container, ulong seen) =>
        CallAsync(cancel => SandboxTable.OutOfMemoryAsync(connection, container, seen, cancel));

    public Task ShutdownAsync() => CallAsync(cancel => tasks.ShutdownAsync(new ShutdownRequest { Id = id, Now = true }, cancel));

    /// <summary>Pids of the host: of what stands there for the container's first process and for each exec.</summary>
    public async Task<IReadOnlyList<uint>> PidsAsync(string container) =>
        [.. (await CallAsync(cancel => tasks.PidsAsync(new PidsRequest { Id = container }, cancel))).Processes.Select(process => process.Pid)];

    /// <summary>As the guest sees them.</summary>
    public Task<Contract.Agent.ProcessesResponse> ProcessesAsync(string container) =>
        CallAsync(cancel => SandboxTable.ProcessesAsync(connection, container, cancel));

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    private async Task<T> CallAsync<T>(Func<CancellationToken, Task<T>> call)
    {
        using var giveUp = new CancellationTokenSource();
        try
        {
            var answer = call(giveUp.Token);
            while (!await CompletesAsync(answer, QuietSeconds))
            {
                var sign = tasks.ConnectAsync(new ConnectRequest { Id = id }, giveUp.Token);
                if (await CompletesAsync(Task.WhenAny(answer, sign), SignSeconds))
                    continue;
                await giveUp.CancelAsync();
                throw new SandboxUnreachableException($"sandbox {id} does not answer: remove its containers with delete --force", hangs: true);
            }
            return await answer;
        }
        catch (TtrpcDisconnectedException e)
        {
            throw new SandboxUnreachableException($"sandbox {id} has died", hangs: false, e);
        }
    }

    /// <summary>Counts seconds one by one: a host that stood still for longer is no process that hangs.</summary>
    private static async Task<bool> CompletesAsync(Task task, int seconds)
    {
        for (; seconds > 0; seconds--)
        {
            if (await Task.WhenAny(task, Task.Delay(TimeSpan.FromSeconds(1))) == task)
                return true;
        }
        return false;
    }
}

/// <summary>The sandbox process is gone or hangs: its containers are lost.</summary>
internal sealed class SandboxUnreachableException(string message, bool hangs, Exception? cause = null) : Exception(message, cause)
{
    /// <summary>The process is there and does not answer.</summary>
    public bool Hangs { get; } = hangs;
}
