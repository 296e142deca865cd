using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>Which namespaces a container makes and which it shares (config-linux.md, "Namespaces").</summary>
/// <param name="New">That it gets for itself.</param>
/// <param name="Joined">Of the sandbox, that it enters.</param>
/// <param name="Owners">Ids of its user namespace, be it new or shared; null: the guest's.</param>
/// <param name="TimeOffsets">What /proc/PID/timens_offsets takes; null: none.</param>
internal sealed record NamespacePlan(Namespaces New, IReadOnlyList<Namespaces> Joined, IdMap? Owners, string? TimeOffsets)
{
    public bool HasOwnUsers => New.HasFlag(Namespaces.User);

    /// <summary>Those that can be without a process.</summary>
    public const Namespaces Holdable = Namespaces.Network | Namespaces.Ipc | Namespaces.Uts;

    /// <param name="sandbox">Null: this is the sandbox's first container.</param>
    /// <param name="network">It shares the sandbox's network, be it the first container or not.</param>
    /// <param name="completes">This is the first container, and the sandbox's namespaces are what has been made of it so far.</param>
    /// <exception cref="ContainerException">A path names a namespace that is none of the sandbox's.</exception>
    public static NamespacePlan From(LinuxSpec linux, SandboxNamespaces? sandbox, bool network = false, bool completes = false)
    {
        // Without a mount namespace of its own a container would mount over the agent: it gets one, and sees no difference.
        var created = Namespaces.Mount;
        var joined = new List<Namespaces>();
        foreach (var entry in linux.Namespaces ?? [])
        {
            if (network && entry.Type == "network" || completes && sandbox!.Has(Kind(entry)))
                joined.Add(Kind(entry));
            else if (string.IsNullOrEmpty(entry.Path))
                created |= Kind(entry);
            else if (Joins(entry, completes ? null : sandbox))
                joined.Add(Kind(entry));
        }
        // The user namespace last: after it there is no right to enter what belongs to the guest.
        joined.Sort((left, right) => (left == Namespaces.User).CompareTo(right == Namespaces.User));
        var owners = created.HasFlag(Namespaces.User) ? new IdMap(Ranges(linux.UidMappings), Ranges(linux.GidMappings))
            : joined.Contains(Namespaces.User) ? sandbox!.Owners : null;
        return new NamespacePlan(created, joined, owners, created.HasFlag(Namespaces.Time) ? Offsets(linux.TimeOffsets) : null);
    }

    /// <summary>
    /// A path of the host means nothing here: within a sandbox it can only be one of the first container's. That one
    /// takes the guest's own for those that engines prepare on the host.
    /// </summary>
    private static bool Joins(Namespace entry, SandboxNamespaces? sandbox)
    {
        if (entry.Type == "mount")
            throw new ContainerException($"linux.namespaces: joining the mount namespace {entry.Path} is not supported: it is the host's");
        if (sandbox is not null)
            return entry.Type != "user" || sandbox.Owners is not null;
        if (entry.Type is "network" or "ipc" or "uts")
            return false;
        throw new ContainerException(
            $"linux.namespaces: cannot join the {entry.Type} namespace {entry.Path}: the sandbox has no other container, and the host's is out of reach");
    }

    private static Namespaces Kind(Namespace entry) => entry.Type switch
    {
        "pid" => Namespaces.Pid,
        "network" => Namespaces.Network,
        "mount" => Namespaces.Mount,
        "ipc" => Namespaces.Ipc,
        "uts" => Namespaces.Uts,
        "cgroup" => Namespaces.Cgroup,
        "time" => Namespaces.Time,
        _ => Namespaces.User,
    };

    private static List<IdRange> Ranges(IReadOnlyList<IdMapping>? mappings) =>
        [.. (mappings ?? []).Select(mapping => new IdRange(mapping.ContainerId, mapping.HostId, mapping.Size))];

    private static string? Offsets(IReadOnlyDictionary<string, TimeOffset>? offsets) =>
        offsets is null ? null : string.Concat(offsets.Select(offset => $"{offset.Key} {offset.Value.Secs} {offset.Value.Nanosecs}\n"));
}
