using System.Net.Sockets;
using System.Text;
using KataLike.Contract.Containerd.SandboxV1;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Sandbox;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Cli;
using KataLike.Runtime.Pools;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Sandboxes;

/// <summary>The resident process of one sandbox: owns the machine, and serves the Task API until nobody needs it.</summary>
internal static class SandboxCommand
{
    private static readonly TimeSpan ExplainTime = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(1);

    public static Task<int> RunAsync(string[] arguments)
    {
        try
        {
            return RunAsync(SandboxArguments.Parse(arguments), null);
        }
        catch (RuntimeException error)
        {
            Log.ToStandardError().Warning(error.Message);
            return Task.FromResult(1);
        }
    }

    /// <param name="prepared">A machine that may be the sandbox's; null: there is none yet.</param>
    public static async Task<int> RunAsync(SandboxArguments parsed, PreparedMachine? prepared)
    {
        FileDescriptor? ready = null;
        var log = Log.ToStandardError();
        try
        {
            log = Log.Open(parsed.Log);
            if (parsed.Log.Debug)
                Timeline.Follow(Lane.Sandbox, log.Debug);
            if (parsed.TimelineDescriptor is { } timeline)
                Timeline.WriteTo(new FileDescriptor(timeline), isFresh: prepared is null);
            ready = parsed.ReadyDescriptor is { } number ? new FileDescriptor(number) : null;
            await ServeAsync(parsed, prepared, log, () => Tell(ref ready, "ok"));
            return 0;
        }
        catch (Exception error)
        {
            Tell(ref ready, $"error: {error.Message.ReplaceLineEndings(" ")}");
            log.Warning(error is RuntimeException ? error.Message : $"sandbox: {error}");
            return 1;
        }
    }

    private static async Task ServeAsync(SandboxArguments arguments, PreparedMachine? prepared, Log log, Action ready)
    {
        if (prepared is not null)
            prepared.Log = log.Warning;
        var configuration = Configuration.Load(arguments.Configuration);
        Timeline.Mark("configuration read");
        var root = new StateRoot(arguments.Root);
        var shim = arguments.Door == Door.Shim;
        var described = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        // Without one the sandbox is to be told by containerd's Sandbox API what it is.
        if (!shim || File.Exists(PodBundle.PathIn(arguments.Bundle)))
            described.SetResult();
        await using var sandbox = Sandbox.Begin(new SandboxOptions(arguments.Id, root, configuration, arguments.Bundle, log.Warning, RunsPoststop: shim)
        {
            JoinsCgroup = shim,
            Prepared = prepared,
            Described = described.Task,
            ConfigurationPath = arguments.Configuration,
        });
        var listener = arguments.ListenDescriptor is { } number
            ? new FileDescriptor(number)
            : sandbox.Directory.Listen(SandboxDirectory.TaskSocket);
        await using var events = arguments.ContainerdTtrpc.Length > 0
            ? EventPublisher.ToContainerd(arguments.ContainerdTtrpc, arguments.Namespace, log.Warning)
            : null;
        await using var stubs = new StubSocket(sandbox.Directory.Listen(SandboxDirectory.StdioSocket), sandbox);
        // While the socket still listens: afterwards the name may be a new sandbox's.
        var unlist = new Lazy<bool>(() => Unlist(arguments));
        var tasks = new TaskService(sandbox, new ContainerdStreams(stubs.Take, arguments.Namespace), events, () =>
        {
            _ = unlist.Value;
            described.TrySetException(new RuntimeException("the sandbox was shut down before it was described"));
        }, shim ? null : (id, exit) => Record(root, id, exit, log));
        var pods = new PodSandboxService(sandbox, tasks, arguments.Bundle, () => described.TrySetResult());
        stubs.Start(tasks.ForgetExecAsync);
        var server = new TtrpcServer([.. TaskServiceTable.For(tasks), SandboxApiTable.For(pods), SandboxTable.For(new SandboxService(sandbox))]);

        using var stop = new CancellationTokenSource();
        var serving = server.ListenAsync(Take(listener), stop.Token);
        ready();
        Timeline.Mark("sockets listen");
        _ = LogAsync(sandbox, log);
        _ = RestAsync(sandbox);
        await Task.WhenAny(tasks.Finished, arguments.Door == Door.Cli ? LastExitAsync(sandbox, tasks) : Task.Delay(-1, stop.Token));
        _ = unlist.Value;
        Timeline.Mark("no container left, or told to end");
        await sandbox.ShutdownAsync();
        Timeline.Mark("machine stopped, directory removed");
        await stop.CancelAsync();
        await serving;
    }

    private static bool Unlist(SandboxArguments arguments)
    {
        if (arguments.Door == Door.Shim)
            ShimAddress.Remove(arguments.Address);
        return true;
    }

    /// <summary>Completes when the sandbox's last container has ended, or the sandbox itself, and the ends are on disk.</summary>
    private static async Task LastExitAsync(Sandbox sandbox, TaskService tasks)
    {
        var any = false;
        while (true)
        {
            var change = sandbox.Changed;
            var containers = sandbox.Containers;
            any |= containers.Count > 0;
            if (any && containers.All(container => container.Init.Exited.IsCompleted))
                break;
            if (sandbox.Died.IsCompleted)
            {
                // Whoever is making a container learns from us why it cannot be; it then asks us to shut down.
                await Task.Delay(ExplainTime);
                break;
            }
            await change;
        }
        await tasks.Recorded;
    }

    /// <summary>Written for the command line, which asks for the state when this process has gone.</summary>
    private static void Record(StateRoot root, string id, ProcessExit exit, Log log)
    {
        try
        {
            ContainerState.RecordExit(root, id, new ContainerExit(exit.Status, exit.At, exit.Loss));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            log.Warning($"the end of container {id} (status {exit.Status}) cannot be recorded: {error.Message}");
        }
    }

    private static async Task LogAsync(Sandbox sandbox, Log log)
    {
        try
        {
            await sandbox.Ready;
            log.Debug($"sandbox is ready: guest kernel {sandbox.GuestKernel}, boot id {sandbox.BootId}");
        }
        catch (Exception error)
        {
            log.Warning(error.Message);
        }
    }

    /// <summary>Lets go of the program's pages whenever nothing has happened for a while: most were of use for what did.</summary>
    private static async Task RestAsync(Sandbox sandbox)
    {
        while (true)
        {
            var change = sandbox.Changed;
            if (await Task.WhenAny(change, Task.Delay(QuietTime)) == change)
                continue;
            ProgramMemory.Find().Release();
            await change;
        }
    }

    private static Socket Take(FileDescriptor listener)
    {
        var handle = new SafeSocketHandle(listener.Number, ownsHandle: true);
        listener.SetHandleAsInvalid();
        return new Socket(handle);
    }

    /// <summary>Says one line to whoever started us, and lets go of the pipe.</summary>
    private static void Tell(ref FileDescriptor? pipe, string line)
    {
        if (pipe is null)
            return;
        _ = Files.TryWrite(pipe, Encoding.UTF8.GetBytes(line + "\n"));
        pipe.Dispose();
        pipe = null;
    }
}
