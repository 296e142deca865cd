using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>What a container gives all of its processes.</summary>
/// <param name="Keyring">Name of the session keyring; null: none of its own.</param>
/// <param name="Personality">PER_*; null: the kernel's own.</param>
/// <param name="Owners">Ids of its user namespace; null: the guest's.</param>
internal sealed record Confinement(string? Keyring, SeccompProgram? Seccomp, uint? Personality, IdMap? Owners);

/// <summary>
/// The last part of every launch, the same for a container's first process and for those that exec adds: from a child
/// that is in its namespaces to one that waits at the start gate, ready to execute.
/// </summary>
internal sealed record ProcessSteps(Step Parked, Gate StartGate, Step? Terminal, IReadOnlyList<Step> Probes)
{
    /// <summary>Adds the steps. The order matters: what needs privileges comes before they are dropped.</summary>
    public static ProcessSteps Add(
        LaunchPlan plan, ProcessPlan process, IReadOnlyList<string> environment, Stdio stdio, bool console, Confinement confinement)
    {
        plan.NewSession();
        if (confinement.Keyring is { } keyring)
            plan.NewSessionKeyring(keyring);
        if (confinement.Personality is { } personality)
            plan.SetPersonality(personality);
        var terminal = AddStreams(plan, process, stdio, console, confinement.Owners);
        // In a user namespace the child could not raise them: the agent does.
        foreach (var limit in confinement.Owners is null ? process.Limits : [])
            plan.Limit(limit.Resource, limit.Soft, limit.Hard);
        plan.ChangeDirectory(process.WorkingDirectory);
        plan.SetUmask(process.Umask);
        if (process.Capabilities is { } limits)
            plan.LimitBoundingSet(limits.Bounding, CapabilityNames.Last);
        plan.BecomeUser(process.UserId, process.GroupId, process.AdditionalGroups);
        if (process.NoNewPrivileges)
            plan.ForbidNewPrivileges();
        // Without no_new_privs only a privileged process may load a filter; what comes after it must pass it, so little does.
        var seccomp = confinement.Seccomp;
        var keepsPrivilege = seccomp is not null && !process.NoNewPrivileges;
        if (process.Capabilities is { } sets)
            plan.SetCapabilities(keepsPrivilege ? sets.With(CapabilityNames.Set(["CAP_SYS_ADMIN"])) : sets);
        var probes = process.Candidates.Select(plan.ProbeExecutable).ToList();
        var (parked, gate) = plan.WaitAtGate();
        if (seccomp is not null)
            plan.Filter(seccomp.Code.Span, seccomp.Flags);
        if (keepsPrivilege && process.Capabilities is { } final)
            plan.SetCapabilities(final);
        plan.Execute(process.Candidates, process.Arguments, environment);
        return new ProcessSteps(parked, gate, terminal, probes);
    }

    private static Step? AddStreams(LaunchPlan plan, ProcessPlan process, Stdio stdio, bool console, IdMap? owners)
    {
        if (stdio.Terminal)
        {
            var (columns, rows) = (stdio.Columns, stdio.Rows) is (0, 0) ? process.ConsoleSize : (stdio.Columns, stdio.Rows);
            return plan.MakeTerminal(columns, rows, process.UserId, console);
        }
        var streams = new[] { stdio.Input, stdio.Output, stdio.Error }
            .Select((file, number) => (File: file, Number: number)).Where(stream => stream.File is not null)
            .Select(stream => (stream.File!, stream.Number)).ToList();
        plan.GiveDescriptors(streams);
        // So that the user can open them again by /dev/stdout and the like.
        foreach (var (file, _) in streams)
            _ = ProcessAttributes.TryGive(file, owners is null ? process.UserId : owners.User(process.UserId) ?? owners.Root.User);
        return null;
    }
}
