using KataLike.Agent.Cgroups;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>A container: its first process, its namespaces and its cgroup. Its user calls one method at a time.</summary>
internal sealed class Container : IDisposable
{
    private readonly Entrance _entrance;
    private readonly ContainerPlan _plan;

    internal Container(string id, ContainerPlan plan, ContainerProcess process, SandboxNamespaces namespaces, Entrance entrance, Cgroup cgroup) =>
        (Id, _plan, Process, Namespaces, _entrance, Cgroup) = (id, plan, process, namespaces, entrance, cgroup);

    public string Id { get; }

    /// <summary>The first process.</summary>
    public ContainerProcess Process { get; }

    public Cgroup Cgroup { get; }

    /// <summary>For the sandbox's later containers. They live as long as this container's object: or duplicate them.</summary>
    public SandboxNamespaces Namespaces { get; }

    /// <summary>Whether others may be in its pid namespace: then the kernel does not end it with its first process.</summary>
    public bool SharesProcesses => !_plan.Namespaces.New.HasFlag(KataLike.Linux.Namespaces.Pid);

    /// <summary>Runs the startContainer hooks and lets the first process go; returns when execve has succeeded.</summary>
    /// <param name="adopt">Tells how a child of the agent ends.</param>
    /// <exception cref="ContainerException">A hook failed, or the program cannot be executed; the first process ends.</exception>
    public void Start(Func<int, Task<ProcessExit>> adopt)
    {
        try
        {
            var runner = new HookRunner(_entrance, _plan.Hooks, adopt);
            // As its first process would: with its user, its capabilities, its working directory.
            runner.Run("startContainer", _plan.Hooks.StartContainer, "created", Process.Pid, _plan.Process);
        }
        catch
        {
            Process.Signal(9);
            throw;
        }
        Process.Start();
    }

    /// <summary>Adds a process; returns when execve has succeeded.</summary>
    /// <exception cref="ContainerException">The container is not running, or the program cannot be executed.</exception>
    public ContainerProcess Exec(ProcessSpec spec, Stdio stdio) => _entrance.Start(ProcessPlan.From(spec), stdio);

    /// <summary>In the guest's root pid namespace.</summary>
    public IReadOnlyList<int> ProcessIds() => Cgroup.ProcessIds();

    /// <summary>Signals all processes of the container.</summary>
    public void KillAll(int signal) => Cgroup.Signal(signal);

    public void Pause() => Cgroup.Freeze(true);

    public void Resume() => Cgroup.Freeze(false);

    /// <summary>Applies new limits; what they do not name stays.</summary>
    public void Update(Resources resources)
    {
        if (resources.Memory is { CheckBeforeUpdate: true, Limit: > 0 and var limit } && Cgroup.Stats().Memory?.Current > (ulong)limit)
            throw new ContainerException($"unable to set memory limit to {limit} (current usage: {Cgroup.Stats().Memory.Current})");
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
