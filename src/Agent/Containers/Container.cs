using KataLike.Agent.Cgroups;
using KataLike.Agent.Rootfs;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using Kinds = KataLike.Linux.Namespaces;

namespace KataLike.Agent.Containers;

/// <summary>A container: its first process, its namespaces and its cgroup. Its user calls one method at a time.</summary>
internal sealed class Container : IDisposable
{
    private const Kinds Entered = Kinds.Mount | Kinds.Uts | Kinds.Ipc | Kinds.Network | Kinds.Cgroup;

    private readonly string _keyring;
    private readonly SeccompProgram? _seccomp;

    internal Container(string id, ContainerProcess process, Cgroup cgroup, SeccompProgram? seccomp)
    {
        (Id, Process, Cgroup, _keyring, _seccomp) = (id, process, cgroup, KeyringOf(id), seccomp);
        Namespaces = SandboxNamespaces.Of(process.Pid);
    }

    public string Id { get; }

    /// <summary>The first process.</summary>
    public ContainerProcess Process { get; }

    public Cgroup Cgroup { get; }

    /// <summary>For the sandbox's later containers. They live as long as this container's object: or duplicate them.</summary>
    public SandboxNamespaces Namespaces { get; }

    internal static string KeyringOf(string id) => $"_ses.{id}";

    /// <summary>Lets the first process go; returns when execve has succeeded.</summary>
    /// <exception cref="ContainerException">The program cannot be executed.</exception>
    public void Start() => Process.Start();

    /// <summary>Adds a process; returns when execve has succeeded.</summary>
    /// <exception cref="ContainerException">The container is not running, or the program cannot be executed.</exception>
    public ContainerProcess Exec(ProcessSpec spec, Stdio stdio)
    {
        var process = ProcessPlan.From(spec);
        using var plan = new LaunchPlan();
        plan.ForbidTracing();
        plan.JoinNamespaces(Process.PidFd, Entered);
        plan.JoinPidNamespace(Namespaces[Kinds.Pid]);
        var environment = WithHome(process);
        var steps = ProcessSteps.Add(plan, process, environment, stdio, console: false, _keyring, _seccomp);
        var launched = Launch(plan);
        ContainerProcess? added = null;
        try
        {
            SetOomScore(launched.Pid, process);
            added = ContainerProcess.WhenParked(launched, process, steps);
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

    private LaunchedProcess Launch(LaunchPlan plan)
    {
        try
        {
            return plan.Launch(cgroup: Cgroup.Directory);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOMEM or Errno.ESRCH)
        {
            // The kernel's answer for a pid namespace whose first process has ended.
            throw NotRunning(e);
        }
    }

    private static ContainerException NotRunning(Exception e) => new("the container's first process has ended", e);

    private IReadOnlyList<string> WithHome(ProcessPlan process)
    {
        try
        {
            using var root = Files.Open($"/proc/{Process.Pid}/root", Files.PathOnly);
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

    /// <summary>In the guest's root pid namespace.</summary>
    public IReadOnlyList<int> ProcessIds() => Cgroup.ProcessIds();

    /// <summary>Signals all processes of the container.</summary>
    public void KillAll(int signal) => Cgroup.Signal(signal);

    public void Pause() => Cgroup.Freeze(true);

    public void Resume() => Cgroup.Freeze(false);

    /// <summary>Applies new limits; what they do not name stays.</summary>
    public void Update(Resources resources)
    {
        Cgroup.Apply(CgroupSettings.From(resources));
        if (resources.Devices is { } rules)
            Cgroup.LimitDevices(rules);
    }

    public StatsResponse Stats() => Cgroup.Stats();

    /// <summary>Ends what still runs, and removes the cgroup.</summary>
    public void Delete() => Cgroup.Delete();

    public void Dispose()
    {
        Process.Dispose();
        Namespaces.Dispose();
        Cgroup.Dispose();
    }
}

/// <summary>Environments of processes.</summary>
internal static class Environments
{
    /// <summary>HOME is the user's where the document does not set it, as with runc.</summary>
    public static IReadOnlyList<string> WithHome(ProcessPlan process, RootDirectory root, string passwords = "/etc/passwd") =>
        process.Environment.Any(entry => entry.StartsWith("HOME=", StringComparison.Ordinal))
            ? process.Environment
            : [.. process.Environment, $"HOME={PasswordFile.Home(root, process.UserId, passwords)}"];
}
