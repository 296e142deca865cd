namespace KataLike.Linux;

/// <summary>A program to run. Nothing is inherited but what is named here: not descriptors, not the environment.</summary>
public sealed record ProcessStart
{
    /// <summary>Path of the program; not looked up in PATH.</summary>
    public required string Path { get; init; }

    /// <summary>argv, with argv[0].</summary>
    public required IReadOnlyList<string> Arguments { get; init; }

    /// <summary>KEY=VALUE.</summary>
    public IReadOnlyList<string> Environment { get; init; } = [];

    /// <summary>Open files and their numbers in the child (below 256). Of 0 to 2, those not given are /dev/null.</summary>
    public IReadOnlyList<(FileDescriptor File, int Number)> Descriptors { get; init; } = [];

    public bool NewSession { get; init; }

    /// <summary>Number in the child of the terminal of its (new) session.</summary>
    public int? ControllingTerminal { get; init; }

    /// <summary>
    /// Signal to the child when the thread that started it ends, not the process: start such a child from a thread
    /// that lives as long as it should. 0: none.
    /// </summary>
    public int ParentDeathSignal { get; init; }

    public string? WorkingDirectory { get; init; }

    public int? Umask { get; init; }
}

/// <summary>A running child of this process. One thread, blocked in waitid, reaps it.</summary>
public sealed class ChildProcess : IDisposable
{
    private readonly TaskCompletionSource<ExitStatus> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ChildProcess(LaunchedProcess launched)
    {
        (Pid, PidFd) = (launched.Pid, launched.PidFd);
        // A thread of its own and not one of the pool: it is blocked for the child's life.
        new Thread(Reap, maxStackSize: 256 * 1024) { IsBackground = true, Name = $"wait for {Pid}" }.Start();
    }

    public int Pid { get; }

    /// <summary>Readable (poll) once the child has ended. Stays open until <see cref="Dispose"/>.</summary>
    public FileDescriptor PidFd { get; }

    /// <summary>Completes when the child has ended and has been reaped.</summary>
    public Task<ExitStatus> Exited => _exited.Task;

    /// <summary>Starts the program; returns once execve has succeeded.</summary>
    /// <param name="on">
    /// Runs the clone on another thread, whose namespaces the child gets and whose end it is told of. Nothing else runs
    /// there: a thread that is created on it, for the pool too, would be born into its namespaces.
    /// </param>
    /// <exception cref="LinuxException">What failed: for example execve PATH: no such file or directory.</exception>
    public static ChildProcess Start(ProcessStart start, Action<Action>? on = null)
    {
        using var plan = new LaunchPlan();
        if (start.ParentDeathSignal != 0)
        {
            plan.ParentDeathSignal(start.ParentDeathSignal);
        }
        if (start.NewSession)
        {
            plan.NewSession();
        }
        plan.GiveDescriptors(start.Descriptors);
        if (start.ControllingTerminal is { } terminal)
        {
            plan.ControllingTerminal(terminal);
        }
        if (start.WorkingDirectory is { } directory)
        {
            plan.ChangeDirectory(directory);
        }
        if (start.Umask is { } umask)
        {
            plan.SetUmask(umask);
        }
        plan.Execute([start.Path], start.Arguments, start.Environment);

        LaunchedProcess? clone = null;
        if (on is null)
            clone = plan.Launch();
        else
            on(() => clone = plan.Launch());
        using var launched = clone!;
        var child = new ChildProcess(launched);
        try
        {
            launched.WaitForExec();
            return child;
        }
        catch
        {
            child.Dispose();
            throw;
        }
    }

    /// <summary>Sends a signal; false if the child has ended.</summary>
    public bool Signal(int number) => Processes.Signal(PidFd, number);

    private void Reap()
    {
        try
        {
            _exited.SetResult(Processes.Wait(PidFd));
        }
        catch (Exception e)
        {
            _exited.SetException(e);
        }
    }

    /// <summary>Lets go of the child, which runs on and is still reaped.</summary>
    public void Dispose() =>
        Exited.ContinueWith((_, pidFd) => ((FileDescriptor)pidFd!).Dispose(), PidFd, TaskScheduler.Default);
}
