using KataLike.Agent.Cgroups;

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
            if (plan.CgroupOwner is { } owner)
                cgroup.Delegate(owner);
            Timeline.Mark("its cgroup made");
            return new Creation(plan, request, cgroup).Run();
        }
        catch
        {
            cgroup.Delete();
            cgroup.Dispose();
            throw;
        }
    }
}
