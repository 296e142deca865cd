using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>
/// The last part of every launch, the same for a container's first process and for those that exec adds: from a child
/// that is in its namespaces to one that waits at the start gate, ready to execute.
/// </summary>
internal sealed record ProcessSteps(Step Parked, Gate StartGate, Step? Terminal, IReadOnlyList<Step> Probes)
{
    /// <summary>Adds the steps. The order matters: what needs privileges comes before they are dropped.</summary>
    public static ProcessSteps Add(
        LaunchPlan plan, ProcessPlan process, IReadOnlyList<string> environment, Stdio stdio, bool console,
        string keyring, SeccompProgram? seccomp)
    {
        plan.NewSession();
        plan.NewSessionKeyring(keyring);
        var terminal = AddStreams(plan, process, stdio, console);
        foreach (var limit in process.Limits)
            plan.Limit(limit.Resource, limit.Soft, limit.Hard);
        plan.ChangeDirectory(process.WorkingDirectory);
        plan.SetUmask(process.Umask);
        // Without no_new_privs only a privileged process may load a filter.
        if (seccomp is not null && !process.NoNewPrivileges)
            plan.Filter(seccomp.Code.Span, seccomp.Flags);
        plan.LimitBoundingSet(process.Capabilities.Bounding, CapabilityNames.Last);
        plan.BecomeUser(process.UserId, process.GroupId, process.AdditionalGroups);
        plan.SetCapabilities(process.Capabilities);
        if (process.NoNewPrivileges)
            plan.ForbidNewPrivileges();
        // A filter that is loaded by now could forbid the question.
        var probes = seccomp is not null && !process.NoNewPrivileges
            ? [] : process.Candidates.Select(plan.ProbeExecutable).ToList();
        var (parked, gate) = plan.WaitAtGate();
        if (seccomp is not null && process.NoNewPrivileges)
            plan.Filter(seccomp.Code.Span, seccomp.Flags);
        plan.Execute(process.Candidates, process.Arguments, environment);
        return new ProcessSteps(parked, gate, terminal, probes);
    }

    private static Step? AddStreams(LaunchPlan plan, ProcessPlan process, Stdio stdio, bool console)
    {
        if (stdio.Terminal)
            return plan.MakeTerminal(stdio.Columns, stdio.Rows, process.UserId, console);
        var streams = new[] { stdio.Input, stdio.Output, stdio.Error }
            .Select((file, number) => (File: file, Number: number)).Where(stream => stream.File is not null)
            .Select(stream => (stream.File!, stream.Number)).ToList();
        plan.GiveDescriptors(streams);
        // So that the user can open them again by /dev/stdout and the like.
        foreach (var (_, number) in process.UserId == 0 ? [] : streams)
            plan.GiveOwnership(number, process.UserId);
        return null;
    }
}
