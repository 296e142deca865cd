using KataLike.Agent.Cgroups;
using KataLike.Agent.Rootfs;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>All that config.json asks of a container, decided; what carries it out has nothing left to interpret.</summary>
internal sealed record ContainerPlan
{
    public required NamespacePlan Namespaces { get; init; }

    public required RootPlan Root { get; init; }

    public required ProcessPlan Process { get; init; }

    public required Confinement Confinement { get; init; }

    public required HookPlan Hooks { get; init; }

    public string? HostName { get; init; }

    public string? DomainName { get; init; }

    /// <summary>Files below /proc/sys and what is written to them.</summary>
    public required IReadOnlyList<(string File, string Value)> Sysctls { get; init; }

    /// <summary>Relative to the directory of all containers' cgroups.</summary>
    public required string CgroupPath { get; init; }

    /// <summary>The user (as the guest counts) who may divide the cgroup; null: nobody but the guest's root.</summary>
    public uint? CgroupOwner { get; init; }

    public required IReadOnlyList<CgroupSetting> CgroupSettings { get; init; }

    public required IReadOnlyList<DeviceRule> DeviceRules { get; init; }

    /// <exception cref="ContainerException">The document asks for something that is not supported.</exception>
    public static ContainerPlan From(ContainerRequest request)
    {
        var spec = request.Spec;
        var linux = BlockDevices.Translate(spec.Linux ?? new LinuxSpec(), request.Disks);
        RefuseUnsupported(linux);
        if (linux.Seccomp is not null && request.Seccomp is null)
            throw new ContainerException("linux.seccomp: the host has not compiled it");
        var namespaces = NamespacePlan.From(linux, request.Sandbox, request.Network is not null, request.Completes);
        var owners = namespaces.Owners;
        var root = RootPlan.From(spec, linux, request.Rootfs, request.MountSources);
        return new ContainerPlan
        {
            Namespaces = namespaces,
            Root = root with { Ids = owners },
            Process = ProcessPlan.From(spec.Process!),
            Confinement = new Confinement(
                $"_ses.{request.Id}", request.Seccomp, linux.Personality is { } personality ? PersonaOf(personality) : null, owners),
            Hooks = HookPlan.From(request, spec),
            HostName = Given(spec.Hostname),
            DomainName = Given(spec.Domainname),
            Sysctls = [.. (linux.Sysctl ?? new Dictionary<string, string>()).Select(entry => (SysctlFile(entry.Key), entry.Value))],
            CgroupPath = CgroupPathOf(linux.CgroupsPath, request.Id),
            CgroupOwner = CgroupOwnerOf(namespaces, root, spec.Process!.User.Uid),
            CgroupSettings = Cgroups.CgroupSettings.From(linux.Resources),
            DeviceRules = linux.Resources?.Devices ?? [],
        };
    }

    private static string? Given(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static void RefuseUnsupported(LinuxSpec linux)
    {
        Refuse(linux.NetDevices is { Count: > 0 }, "linux.netDevices");
        Refuse(linux.IntelRdt is not null, "linux.intelRdt");
        Refuse(linux.MemoryPolicy is not null, "linux.memoryPolicy");
    }

    private static void Refuse(bool asked, string field)
    {
        if (asked)
            throw new ContainerException($"{field} is not supported");
    }

    /// <summary>Its flags mean nothing yet (config-linux.md, "Personality").</summary>
    private static uint PersonaOf(Personality personality) => personality.Domain == "LINUX32" ? 8u : 0;

    /// <summary>config-linux.md, "Cgroup ownership": whoever sees the cgroup as the root of all, and can write there.</summary>
    private static uint? CgroupOwnerOf(NamespacePlan namespaces, RootPlan root, uint user) =>
        namespaces.New.HasFlag(KataLike.Linux.Namespaces.Cgroup)
        && root.Mounts.Any(mount => mount.Kind == MountKind.Cgroup && !mount.Flags.Set.HasFlag(MountAttributes.ReadOnly))
            ? namespaces.Owners is { } owners ? owners.User(user) : user : null;

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
