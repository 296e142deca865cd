using KataLike.Agent.Cgroups;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>The way into a container for processes beside its first one: those that exec adds, and hooks.</summary>
/// <param name="kinds">All namespaces that the first process shares with nobody or with others of the sandbox, but pid.</param>
internal sealed class Entrance(
    LaunchedProcess first, FileDescriptor pidNamespace, Namespaces kinds, Cgroup cgroup, Confinement confinement)
{
    /// <summary>Starts a process; returns once execve has succeeded.</summary>
    /// <param name="environment">Null: the process's, with a HOME where it has none.</param>
    /// <param name="root">Its root directory; null: that of the first process.</param>
    /// <exception cref="ContainerException">The container is not running, or the program cannot be executed.</exception>
    public ContainerProcess Start(
        ProcessPlan process, Stdio stdio, IReadOnlyList<string>? environment = null, FileDescriptor? root = null, bool confined = true)
    {
        try
        {
            return Start(process, stdio, environment ?? WithHome(process), root, confined, cgroup.Directory);
        }
        catch (LinuxException e) when (e is { Call: "clone3", Errno: Errno.EBUSY })
        {
            // The container has divided its cgroup, which may hold no process itself any more: to where the first one went.
            using var part = cgroup.DirectoryOf(first.Pid);
            if (part is null)
                throw;
            return Start(process, stdio, environment ?? WithHome(process), root, confined, part);
        }
    }

    private ContainerProcess Start(
        ProcessPlan process, Stdio stdio, IReadOnlyList<string> environment, FileDescriptor? root, bool confined, FileDescriptor directory)
    {
        using var plan = new LaunchPlan();
        plan.ForbidTracing();
        plan.JoinNamespaces(first.PidFd, kinds);
        plan.JoinPidNamespace(pidNamespace);
        if (confinement.Owners is not null)
            plan.BecomeRoot();
        if (root is not null)
            plan.ChangeRoot(root);
        var given = confined ? confinement : new Confinement(null, null, null, confinement.Owners);
        var steps = ProcessSteps.Add(plan, process, environment, stdio, console: false, given);
        var launched = Launch(plan, directory, steps);
        ContainerProcess? added = null;
        try
        {
            SetOomScore(launched.Pid, process);
            added = ContainerProcess.WhenParked(launched, process, steps, limited: confinement.Owners is null);
            added.Start();
            return added;
        }
        catch (Exception e)
        {
            added?.Terminal?.Dispose();
            steps.StartGate.Dispose();
            launched.Dispose();
            launched.PidFd.Dispose();
            throw e is LinuxException { Call: "setns", Errno: Errno.ESRCH } ? NotRunning(e) : e;
        }
    }

    private static LaunchedProcess Launch(LaunchPlan plan, FileDescriptor directory, ProcessSteps steps)
    {
        try
        {
            return plan.Launch(cgroup: directory);
        }
        catch (LinuxException e)
        {
            steps.StartGate.Dispose();
            // The kernel's answer for a pid namespace whose first process has ended.
            throw e.Errno is Errno.ENOMEM or Errno.ESRCH ? NotRunning(e) : e;
        }
    }

    private static ContainerException NotRunning(Exception e) => new("the container's first process has ended", e);

    private IReadOnlyList<string> WithHome(ProcessPlan process)
    {
        try
        {
            using var root = Files.Open($"/proc/{first.Pid}/root", Files.PathOnly);
            return Environments.WithHome(process, new RootDirectory(root));
        }
        catch (LinuxException e)
        {
            throw NotRunning(e);
        }
    }

    internal static void SetOomScore(int pid, ProcessPlan process)
    {
        if (process.OomScoreAdjustment is { } score)
            KernelFiles.Write($"/proc/{pid}/oom_score_adj", score.ToString());
    }
}
