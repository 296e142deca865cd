using KataLike.Agent.Cgroups;
using KataLike.Agent.Rootfs;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>
/// The way of a container's first process (docs/decisions/0004): it is born in its namespaces and makes the mounts
/// that only it can; it waits while a thread of the agent, in the same namespaces, does all the rest; it becomes
/// what config.json says, and waits at the start gate.
/// </summary>
internal sealed class Creation(ContainerPlan plan, ContainerRequest request, Cgroup cgroup)
{
    private const Namespaces SetUp = Namespaces.Mount | Namespaces.Uts | Namespaces.Ipc | Namespaces.Network;

    private readonly IdMap? _owners = plan.Namespaces.Owners;

    // These are made by the child: a cgroup namespace takes the cgroup that it is in by then, a time namespace comes
    // with execve, and the queues of an ipc namespace belong to whom the child is.
    private Namespaces Late => Namespaces.Cgroup | Namespaces.Time | (_owners is null ? 0 : Namespaces.Ipc);

    public Container Run()
    {
        using var launch = new LaunchPlan();
        launch.ForbidTracing();
        var second = Join(launch);
        var mapping = plan.Namespaces.HasOwnUsers ? launch.WaitAtGate() : default((Step Arrival, Gate Gate)?);
        if (_owners is not null)
            launch.BecomeRoot();
        if ((plan.Namespaces.New & Late) is var late and not 0)
            launch.NewNamespaces(late);
        var made = FileSystems(launch);
        var (born, setUpGate) = launch.WaitAtGate();
        launch.ChangeDirectory("/");
        var steps = ProcessSteps.Add(
            launch, plan.Process, EnvironmentOf(), request.Stdio, plan.Root.Console, plan.Confinement);

        using (mapping?.Gate)
        using (setUpGate)
        {
            var launched = second is null
                ? launch.Launch(plan.Namespaces.New & ~Late, cgroup.Directory) : launch.Launch();
            SandboxNamespaces? namespaces = null;
            try
            {
                if (second is { } clone)
                    launched.Follow(clone);
                if (mapping is var (arrival, gate))
                    MapIds(launched, arrival, gate);
                AwaitFileSystems(launched, made);
                launched.WaitFor(born);
                Timeline.Mark("its first process born");
                namespaces = SandboxNamespaces.Of(launched.Pid, _owners);
                var entrance = new Entrance(launched, namespaces[Namespaces.Pid], Entered(namespaces), cgroup, plan.Confinement);
                SetUpNamespaces(launched, made, entrance);
                Timeline.Mark("its root file system built");
                setUpGate.Open();
                var process = ContainerProcess.WhenParked(launched, plan.Process, steps, limited: _owners is null);
                return new Container(request.Id, plan, process, namespaces, entrance, cgroup);
            }
            catch
            {
                namespaces?.Dispose();
                Processes.Signal(launched.PidFd, 9);
                steps.StartGate.Dispose();
                launched.Dispose();
                launched.PidFd.Dispose();
                throw;
            }
        }
    }

    /// <summary>
    /// Enters what is shared. With a user namespace, be it new or shared, that comes before the birth of all that
    /// is to belong to it: then the child is born twice.
    /// </summary>
    private Step? Join(LaunchPlan launch)
    {
        var twice = _owners is not null && plan.Namespaces.Joined.Count > 0;
        foreach (var kind in plan.Namespaces.Joined)
        {
            var space = kind switch
            {
                Namespaces.Network when request.Network is { } network => network,
                Namespaces.Pid when request.Processes is { } processes => processes,
                _ => request.Sandbox![kind],
            };
            if (kind == Namespaces.Pid && !twice)
                launch.JoinPidNamespace(space);
            else
                launch.JoinNamespaces(space, kind);
        }
        return twice ? launch.CloneAgain(plan.Namespaces.New & ~Late, cgroup.Directory) : null;
    }

    private static Namespaces Entered(SandboxNamespaces namespaces) =>
        SetUp | Namespaces.Cgroup | (namespaces.Owners is null ? 0 : Namespaces.User) | Namespaces.Time;

    /// <summary>
    /// proc shows the pid namespace of its maker, and what is to belong to a user namespace is made in it. sysfs and
    /// mqueue belong to the owner of the network and of ipc, where the child may have no right.
    /// </summary>
    private Dictionary<int, Step> FileSystems(LaunchPlan launch)
    {
        var made = new Dictionary<int, Step>();
        for (var index = 0; index < plan.Root.Mounts.Count; index++)
        {
            var mount = plan.Root.Mounts[index];
            var type = mount.Kind switch
            {
                MountKind.Proc => "proc",
                MountKind.Cgroup when _owners is not null && plan.Namespaces.New.HasFlag(Namespaces.Cgroup) => "cgroup2",
                MountKind.FileSystem when _owners is not null && mount.Type is not ("sysfs" or "mqueue") => mount.Type,
                _ => null,
            };
            if (type is not null)
                made[index] = launch.MakeFileSystem(type, mount.Source, mount.Flags.Data, mount.Kind == MountKind.Proc ? mount.Flags.Set : 0);
        }
        return made;
    }

    private void AwaitFileSystems(LaunchedProcess launched, Dictionary<int, Step> made)
    {
        foreach (var (index, step) in made)
        {
            try
            {
                launched.WaitFor(step);
            }
            catch (LinuxException e) when (e.Call == "mount")
            {
                throw plan.Root.Mounts[index].Failed(e.Message, e);
            }
        }
    }

    private void MapIds(LaunchedProcess launched, Step arrival, Gate gate)
    {
        launched.WaitFor(arrival);
        try
        {
            _owners!.WriteTo(launched.Pid);
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"linux.uidMappings, linux.gidMappings: the kernel refuses them: {e.Errno.Text()}", e);
        }
        gate.Open();
    }

    private void SetUpNamespaces(LaunchedProcess launched, Dictionary<int, Step> made, Entrance entrance)
    {
        Entrance.SetOomScore(launched.Pid, plan.Process);
        SetTime(launched.Pid);
        var mounts = new Dictionary<int, FileDescriptor>();
        try
        {
            foreach (var (index, step) in made)
                mounts[index] = Processes.TakeDescriptor(launched.PidFd, (int)launched.WaitFor(step));
            NamespaceThread.Run(launched.PidFd, SetUp, _owners?.Root ?? default, () =>
            {
                if (plan.Namespaces.New.HasFlag(Namespaces.Network))
                    Loopback.BringUp();
                SetNames(plan);
                new RootBuilder(plan.Root, mounts, cgroup.Path).Build(root => RunHooks(entrance, launched.Pid, root));
            });
        }
        finally
        {
            foreach (var mount in mounts.Values)
                mount.Dispose();
        }
    }

    private void RunHooks(Entrance entrance, int pid, FileDescriptor root)
    {
        if (plan.Hooks.CreateContainer.Count > 0)
            new HookRunner(entrance, plan.Hooks, request.Adopt).Run(
                "createContainer", plan.Hooks.CreateContainer, "creating", pid, HookRunner.Privileged, root);
    }

    private void SetTime(int pid)
    {
        if (plan.Namespaces.TimeOffsets is not { Length: > 0 } offsets)
            return;
        try
        {
            KernelFiles.Write($"/proc/{pid}/timens_offsets", offsets);
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"linux.timeOffsets: {offsets.TrimEnd().Replace('\n', ',')}: {e.Errno.Text()}", e);
        }
    }

    /// <summary>The namespaces of a plan that need no process.</summary>
    public static SandboxNamespaces Hold(ContainerPlan plan, FileDescriptor? network)
    {
        var kinds = plan.Namespaces.New & NamespacePlan.Holdable;
        return SandboxNamespaces.Make(kinds, network, () =>
        {
            if (kinds.HasFlag(Namespaces.Network))
                Loopback.BringUp();
            SetNames(plan);
        });
    }

    /// <summary>The names and kernel parameters of the calling thread's namespaces.</summary>
    private static void SetNames(ContainerPlan plan)
    {
        if (plan.HostName is { } host)
            NamespaceThread.SetHostName(host);
        if (plan.DomainName is { } domain)
            NamespaceThread.SetDomainName(domain);
        foreach (var (file, value) in plan.Sysctls)
            SetSysctl(file, value);
    }

    private static void SetSysctl(string file, string value)
    {
        try
        {
            KernelFiles.Write($"/proc/sys/{file}", value);
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"linux.sysctl: {file}: {e.Errno.Text()}", e);
        }
    }

    /// <summary>Before the mounts are made: a file bound over /etc/passwd is looked up where it comes from.</summary>
    private IReadOnlyList<string> EnvironmentOf()
    {
        const string passwords = "/etc/passwd";
        var bound = plan.Root.Mounts.LastOrDefault(mount => mount.Kind == MountKind.Bind && mount.Destination == passwords);
        try
        {
            var (directory, file) = bound?.Source is { } source
                ? (Path.GetDirectoryName(source)!, Path.GetFileName(source)) : (plan.Root.Path, passwords);
            using var root = Files.Open(directory, Files.PathOnly);
            return Environments.WithHome(plan.Process, new RootDirectory(root), file);
        }
        catch (LinuxException e)
        {
            throw new ContainerException($"root.path: {e.Message}", e);
        }
    }
}
