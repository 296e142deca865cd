using KataLike.Agent.Cgroups;
using KataLike.Agent.Rootfs;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>All that config.json asks of a container, decided; what carries it out has nothing left to interpret.</summary>
internal sealed record ContainerPlan
{
    /// <summary>Namespaces that the container gets for itself.</summary>
    public required Namespaces NewNamespaces { get; init; }

    /// <summary>Namespaces of the sandbox's first container that it enters.</summary>
    public required IReadOnlyList<Namespaces> JoinedNamespaces { get; init; }

    public required RootPlan Root { get; init; }

    public required ProcessPlan Process { get; init; }

    public string? HostName { get; init; }

    public string? DomainName { get; init; }

    /// <summary>Files below /proc/sys and what is written to them.</summary>
    public required IReadOnlyList<(string File, string Value)> Sysctls { get; init; }

    /// <summary>Relative to the directory of all containers' cgroups.</summary>
    public required string CgroupPath { get; init; }

    public required IReadOnlyList<CgroupSetting> CgroupSettings { get; init; }

    public required IReadOnlyList<DeviceRule> DeviceRules { get; init; }

    /// <exception cref="ContainerException">The document asks for something that is not supported.</exception>
    public static ContainerPlan From(ContainerRequest request)
    {
        var spec = request.Spec;
        var linux = spec.Linux ?? new LinuxSpec();
        RefuseUnsupported(spec, linux);
        if (linux.Seccomp is not null && request.Seccomp is null)
            throw new ContainerException("linux.seccomp: the host has not compiled it");
        var namespaces = linux.Namespaces ?? [];
        return new ContainerPlan
        {
            NewNamespaces = namespaces.Where(entry => string.IsNullOrEmpty(entry.Path))
                .Aggregate(Namespaces.None, (all, entry) => all | Kind(entry)),
            // The first container has nobody to join: the guest itself stands for what the host prepared.
            JoinedNamespaces = request.Sandbox is null
                ? [] : [.. namespaces.Where(entry => !string.IsNullOrEmpty(entry.Path)).Select(Kind)],
            Root = RootPlan.From(spec, linux, request.Rootfs, request.MountSources),
            Process = ProcessPlan.From(spec.Process!),
            HostName = Given(spec.Hostname),
            DomainName = Given(spec.Domainname),
            Sysctls = [.. (linux.Sysctl ?? new Dictionary<string, string>()).Select(entry => (SysctlFile(entry.Key), entry.Value))],
            CgroupPath = CgroupPathOf(linux.CgroupsPath, request.Id),
            CgroupSettings = Cgroups.CgroupSettings.From(linux.Resources),
            DeviceRules = linux.Resources?.Devices ?? [],
        };
    }

    private static string? Given(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static Namespaces Kind(Namespace entry) => entry.Type switch
    {
        "pid" => Namespaces.Pid,
        "network" => Namespaces.Network,
        "mount" => Namespaces.Mount,
        "ipc" => Namespaces.Ipc,
        "uts" => Namespaces.Uts,
        "cgroup" => Namespaces.Cgroup,
        _ => throw new ContainerException($"linux.namespaces: a {entry.Type} namespace is not supported"),
    };

    private static void RefuseUnsupported(Spec spec, LinuxSpec linux)
    {
        if (linux.FindNamespace("mount") is not { } mount)
            throw new ContainerException("linux.namespaces: a container without a mount namespace is not supported");
        if (!string.IsNullOrEmpty(mount.Path))
            throw new ContainerException("linux.namespaces: joining a mount namespace is not supported");
        Refuse(linux.UidMappings is { Count: > 0 } || linux.GidMappings is { Count: > 0 }, "linux.uidMappings");
        Refuse(linux.NetDevices is { Count: > 0 }, "linux.netDevices");
        Refuse(linux.IntelRdt is not null, "linux.intelRdt");
        Refuse(linux.MemoryPolicy is not null, "linux.memoryPolicy");
        Refuse(linux.Personality is { Domain: not "LINUX" }, "linux.personality");
        Refuse(linux.TimeOffsets is { Count: > 0 }, "linux.timeOffsets");
        Refuse(linux.MountLabel is { Length: > 0 }, "linux.mountLabel");
        // Hooks of the runtime run on the host; these two would have to run in the container.
        Refuse(spec.Hooks?.CreateContainer is { Count: > 0 }, "hooks.createContainer");
        Refuse(spec.Hooks?.StartContainer is { Count: > 0 }, "hooks.startContainer");
    }

    private static void Refuse(bool asked, string field)
    {
        if (asked)
            throw new ContainerException($"{field} is not supported");
    }

    /// <summary>"net.ipv4.ip_forward" or "net/ipv4/ip_forward"; in the former a slash stands for a dot (sysctl(8)).</summary>
    private static string SysctlFile(string name)
    {
        var firstSeparator = name.IndexOfAny(['.', '/']);
        var file = firstSeparator >= 0 && name[firstSeparator] == '.'
            ? string.Concat(name.Select(c => c switch { '.' => '/', '/' => '.', _ => c }))
            : name;
        return file.Split('/').Any(part => part is "" or "." or "..")
            ? throw new ContainerException($"linux.sysctl: {name} is not the name of a kernel parameter")
            : file;
    }

    /// <summary>
    /// The specification's path without what would lead out. A path of systemd's form ("slice:prefix:name") names no
    /// directory of ours, so the id does.
    /// </summary>
    private static string CgroupPathOf(string? path, string id)
    {
        var parts = (path ?? "").Split('/', StringSplitOptions.RemoveEmptyEntries).Where(part => part is not ("." or "..")).ToList();
        return parts.Count == 0 || path!.Contains(':') ? id : string.Join('/', parts);
    }
}
