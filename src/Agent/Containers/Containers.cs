using KataLike.Agent.Cgroups;
using KataLike.Agent.Rootfs;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>Makes containers.</summary>
/// <param name="cgroups">Where their cgroups go.</param>
internal sealed class Containers(CgroupRoot cgroups)
{
    /// <summary>
    /// Makes a container; its first process is parked before execve, with everything else done. Nothing is left behind
    /// after an error but a child that ends, for the reaper.
    /// </summary>
    /// <exception cref="ContainerException">The request cannot be met; the message says what and why.</exception>
    public Container Create(ContainerRequest request)
    {
        var plan = ContainerPlan.From(request);
        var cgroup = cgroups.Create(plan.CgroupPath);
        try
        {
            cgroup.Apply(plan.CgroupSettings);
            cgroup.LimitDevices(plan.DeviceRules);
            return new Container(request.Id, new Creation(plan, request, cgroup).Run(), cgroup, request.Seccomp);
        }
        catch
        {
            cgroup.Delete();
            cgroup.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The way of a container's first process (docs/decisions/0004): it is born in its namespaces and mounts proc; it
    /// waits while a thread of the agent, in the same namespaces, does all the rest; it becomes what config.json says,
    /// and waits at the start gate.
    /// </summary>
    private sealed class Creation(ContainerPlan plan, ContainerRequest request, Cgroup cgroup)
    {
        private const Namespaces SetUp = Namespaces.Mount | Namespaces.Uts | Namespaces.Ipc | Namespaces.Network;

        public ContainerProcess Run()
        {
            using var launch = new LaunchPlan();
            launch.ForbidTracing();
            JoinNamespaces(launch);
            if (plan.NewNamespaces.HasFlag(Namespaces.Cgroup))
                launch.NewNamespaces(Namespaces.Cgroup);
            var procs = plan.Root.Mounts.Select((mount, index) => (mount, index)).Where(entry => entry.mount.Kind == MountKind.Proc)
                .ToDictionary(entry => entry.index, entry => launch.MakeFileSystem("proc", "proc", entry.mount.Flags.Data, entry.mount.Flags.Set));
            var (born, setUpGate) = launch.WaitAtGate();
            launch.ChangeDirectory("/");
            var steps = ProcessSteps.Add(
                launch, plan.Process, EnvironmentOf(), request.Stdio, plan.Root.Console,
                Container.KeyringOf(request.Id), request.Seccomp);

            var launched = launch.Launch(plan.NewNamespaces & ~Namespaces.Cgroup, cgroup.Directory);
            try
            {
                using (setUpGate)
                {
                    Container.SetOomScore(launched.Pid, plan.Process);
                    SetUpNamespaces(launched, procs, born);
                    setUpGate.Open();
                }
                return ContainerProcess.WhenParked(launched, plan.Process, steps);
            }
            catch
            {
                Processes.Signal(launched.PidFd, 9);
                steps.StartGate.Dispose();
                launched.Dispose();
                launched.PidFd.Dispose();
                throw;
            }
        }

        private void JoinNamespaces(LaunchPlan launch)
        {
            foreach (var kind in plan.JoinedNamespaces)
            {
                if (kind == Namespaces.Pid)
                    launch.JoinPidNamespace(request.Sandbox![kind]);
                else
                    launch.JoinNamespaces(request.Sandbox![kind], kind);
            }
        }

        private void SetUpNamespaces(LaunchedProcess launched, Dictionary<int, Step> procs, Step born)
        {
            var mounts = procs.OrderBy(entry => entry.Value.Index).ToDictionary(
                entry => entry.Key, entry => Processes.TakeDescriptor(launched.PidFd, (int)launched.WaitFor(entry.Value)));
            try
            {
                launched.WaitFor(born);
                NamespaceThread.Run(launched.PidFd, SetUp, () =>
                {
                    if (plan.NewNamespaces.HasFlag(Namespaces.Network))
                        Loopback.BringUp();
                    SetNames();
                    foreach (var (file, value) in plan.Sysctls)
                        SetSysctl(file, value);
                    new RootBuilder(plan.Root, mounts, cgroup.Path).Build();
                });
            }
            finally
            {
                foreach (var mount in mounts.Values)
                    mount.Dispose();
            }
        }

        private void SetNames()
        {
            if (plan.HostName is { } host)
                NamespaceThread.SetHostName(host);
            if (plan.DomainName is { } domain)
                NamespaceThread.SetDomainName(domain);
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
}
