using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>A process of a container: parked before execve, running, or ended. The reaper waits for it, not this.</summary>
internal sealed class ContainerProcess : IDisposable
{
    private readonly LaunchedProcess _launched;
    private readonly ProcessPlan _plan;
    private readonly Gate _startGate;

    private ContainerProcess(LaunchedProcess launched, ProcessPlan plan, Gate startGate, FileDescriptor? terminal) =>
        (_launched, _plan, _startGate, Terminal) = (launched, plan, startGate, terminal);

    /// <summary>In the guest's root pid namespace.</summary>
    public int Pid => _launched.Pid;

    public FileDescriptor PidFd => _launched.PidFd;

    /// <summary>The terminal's master; the user of this object closes it.</summary>
    public FileDescriptor? Terminal { get; }

    /// <summary>Waits until the child is parked at the start gate, gives it what only the agent can, and looks its program up.</summary>
    /// <param name="limited">Whether the child has set its own resource limits.</param>
    /// <exception cref="ContainerException">A step failed for a reason that the caller can mend, or there is no such program.</exception>
    internal static ContainerProcess WhenParked(LaunchedProcess launched, ProcessPlan plan, ProcessSteps steps, bool limited)
    {
        FileDescriptor? terminal = null;
        try
        {
            terminal = steps.Terminal is { } step
                ? Processes.TakeDescriptor(launched.PidFd, (int)launched.WaitFor(step)) : null;
            launched.WaitFor(steps.Parked);
            SetAttributes(launched.Pid, plan, limited);
            FindProgram(launched, plan, steps.Probes);
            return new ContainerProcess(launched, plan, steps.StartGate, terminal);
        }
        catch (Exception e)
        {
            terminal?.Dispose();
            throw (e as LinuxException is { } refusal ? Explain(refusal, plan) : null) ?? e;
        }
    }

    private static void SetAttributes(int pid, ProcessPlan plan, bool limited)
    {
        foreach (var limit in limited ? [] : plan.Limits)
            ProcessAttributes.Limit(pid, limit.Resource, limit.Soft, limit.Hard);
        if (plan.Scheduling is { } policy)
            ProcessAttributes.Schedule(pid, policy);
        if (plan.IoPriority is var (kind, priority))
            ProcessAttributes.SetIoPriority(pid, kind, priority);
        if (plan.Processors is { } processors)
            ProcessAttributes.SetProcessors(pid, processors);
    }

    private static void FindProgram(LaunchedProcess launched, ProcessPlan plan, IReadOnlyList<Step> probes)
    {
        using var directory = Files.Open($"/proc/{launched.Pid}/root", Files.PathOnly);
        var lookup = new ExecutableLookup(
            new RootDirectory(directory), plan, candidate => probes.Count == 0 || launched.HasReported(probes[candidate]));
        if (lookup.Failure() is { } failure)
            throw failure;
    }

    private static ContainerException? Explain(LinuxException e, ProcessPlan plan) => e switch
    {
        { Errno: Errno.ESRCH } or { Call: "launch" } => new("the container's process ended during its set-up", e),
        { Call: "chdir" } => Failed($"chdir to cwd (\"{e.Operand}\") set in config.json failed: {e.Errno.Text()}"),
        { Call: "open", Operand: { } path } when path.StartsWith("/proc/", StringComparison.Ordinal) => new("the container's process has ended", e),
        { Operand: "/dev/ptmx" } => Failed($"process.terminal: open /dev/ptmx: {e.Errno.Text()}"),
        { Call: "setgroups" or "setresgid" or "setresuid", Errno: Errno.EINVAL } => Failed(
            $"process.user: the user namespace has no id for one of {string.Join(", ", plan.AdditionalGroups.Prepend(plan.GroupId).Prepend(plan.UserId))}"),
        { Call: "prlimit" } => Failed($"process.rlimits: {e.Message}"),
        { Call: "sched_setattr" } => Failed($"process.scheduler: the kernel refuses it: {e.Errno.Text()}"),
        { Call: "ioprio_set" } => Failed($"process.ioPriority: the kernel refuses it: {e.Errno.Text()}"),
        { Call: "sched_setaffinity" } => Failed($"process.execCPUAffinity.final: the container has none of these processors: {string.Join(',', plan.Processors!)}"),
        _ => null,
    };

    private static ContainerException Failed(string reason) => new(ExecutableLookup.Prefix + reason);

    /// <summary>Opens the gate; returns when execve has succeeded. After an error the process ends by itself.</summary>
    /// <exception cref="ContainerException">The program cannot be executed, in runc's words.</exception>
    internal void Start()
    {
        using (_startGate)
        {
            try
            {
                _startGate.Open();
                _launched.WaitForExec();
            }
            catch (LinuxException e) when (e.Call == "execve")
            {
                throw ExecutableLookup.Explain(_plan, e);
            }
        }
    }

    /// <summary>Sends a signal; false if the process has ended.</summary>
    public bool Signal(int number) => Processes.Signal(PidFd, number);

    public void Dispose()
    {
        _startGate.Dispose();
        _launched.Dispose();
        PidFd.Dispose();
    }
}
