using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

internal enum MountKind
{
    /// <summary>A part of another tree: <see cref="MountPlan.Source"/> is its path in the guest.</summary>
    Bind,

    /// <summary>A file system of its own.</summary>
    FileSystem,

    /// <summary>proc, which only a process of the container's pid namespace can make.</summary>
    Proc,

    /// <summary>The container's cgroup and what is below it.</summary>
    Cgroup,
}

/// <summary>One mount of the container (config.md, "Mounts").</summary>
internal sealed record MountPlan
{
    /// <summary>In the container.</summary>
    public required string Destination { get; init; }

    public required MountKind Kind { get; init; }

    public string? Type { get; init; }

    public string? Source { get; init; }

    public required MountFlags Flags { get; init; }

    /// <summary>A file system that is to be read-only is written to until all is in place.</summary>
    public bool ReadOnlyLast => Kind == MountKind.FileSystem && Type is "tmpfs" && Flags.Set.HasFlag(MountAttributes.ReadOnly);

    /// <exception cref="ContainerException">An option is not supported, or the source of a bind mount is not in the guest.</exception>
    public static MountPlan From(Mount mount, int index, IReadOnlyDictionary<int, string> sources)
    {
        var at = $"mounts[{index}] ({mount.Destination})";
        if (mount.UidMappings is { Count: > 0 } || mount.GidMappings is { Count: > 0 })
            throw new ContainerException($"{at}: uidMappings are not supported");
        var flags = MountFlags.Parse(mount.Options ?? [], at);
        var kind = flags.Bind || mount.Type is "bind" or "rbind" ? MountKind.Bind : mount.Type switch
        {
            "proc" => MountKind.Proc,
            "cgroup" or "cgroup2" => MountKind.Cgroup,
            null or "" => throw new ContainerException($"{at}: type is missing"),
            _ => MountKind.FileSystem,
        };
        if (kind == MountKind.Bind && flags.Data.Count > 0)
            throw new ContainerException($"{at}: option {flags.Data[0].Key} is not one of a bind mount");
        return new MountPlan
        {
            Destination = mount.Destination.StartsWith('/') ? mount.Destination : '/' + mount.Destination,
            Kind = kind,
            Type = kind == MountKind.Bind ? null : mount.Type,
            Source = kind == MountKind.Bind ? SourceOf(index, sources, at, mount.Source) : mount.Source,
            Flags = flags,
        };
    }

    private static string SourceOf(int index, IReadOnlyDictionary<int, string> sources, string at, string? source) =>
        sources.TryGetValue(index, out var path) ? path : throw new ContainerException($"{at}: {source} is not shared with the guest");
}
