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

    /// <summary>The container's cgroup and what is below it, as with version 1 also where it has no cgroup namespace.</summary>
    Cgroup,

    /// <summary>No new mount: another look of one that is there.</summary>
    Remount,
}

/// <summary>One mount of the container (config.md, "Mounts").</summary>
internal sealed record MountPlan
{
    /// <summary>In the container, absolute.</summary>
    public required string Destination { get; init; }

    public required MountKind Kind { get; init; }

    public string? Type { get; init; }

    public string? Source { get; init; }

    /// <summary>The source as config.json names it, for messages.</summary>
    public required string GivenSource { get; init; }

    public required MountFlags Flags { get; init; }

    /// <summary>Null: owners are shown as they are, or the host has mapped them.</summary>
    public IdMappings? Ids { get; init; }

    /// <summary>The destination without ".", ".." and double slashes; no link is looked at.</summary>
    public string Place => Path.GetFullPath(Destination).TrimEnd('/') is { Length: > 0 } place ? place : "/";

    /// <summary>What is to be read-only is written to until all is in place.</summary>
    public bool ReadOnlyLast => Flags.Set.HasFlag(MountAttributes.ReadOnly) && Kind != MountKind.Remount && (Type is "tmpfs" || Place == "/dev");

    /// <exception cref="ContainerException">An option is not supported, or the source of a bind mount is not in the guest.</exception>
    public static MountPlan From(Mount mount, int index, LinuxSpec linux, IReadOnlyDictionary<int, string> sources)
    {
        var at = $"mounts[{index}] ({mount.Destination})";
        var flags = MountFlags.Parse(mount.Options ?? []);
        var kind = KindOf(mount, flags, sources.ContainsKey(index), at);
        var source = kind == MountKind.Bind ? SourceOf(index, sources, at, mount.Source) : mount.Source;
        return new MountPlan
        {
            Destination = mount.Destination.StartsWith('/') ? mount.Destination : '/' + mount.Destination,
            Kind = kind,
            Type = kind == MountKind.Bind ? null : mount.Type,
            Source = source,
            GivenSource = mount.Source ?? "",
            Flags = flags,
            Ids = kind == MountKind.Bind && Overlays.IsShared(source!) ? null : MappingsOf(mount, flags, linux),
        };
    }

    /// <summary>In runc's words.</summary>
    public ContainerException Failed(string reason, Exception? cause = null) =>
        new($"error mounting \"{GivenSource}\" to rootfs at \"{Destination}\": {reason}", cause);

    private static MountKind KindOf(Mount mount, MountFlags flags, bool isGiven, string at)
    {
        if (flags.Remount)
            return MountKind.Remount;
        var isBind = flags.Bind || mount.Type is "bind" or "rbind";
        // Options of a file system mean nothing to a bind mount; the kernel ignores them there, and so do other runtimes.
        if (isBind || isGiven)
            return MountKind.Bind;
        return mount.Type switch
        {
            "proc" => MountKind.Proc,
            "cgroup" or "cgroup2" => MountKind.Cgroup,
            null or "" => throw new ContainerException($"{at}: type is missing"),
            _ => MountKind.FileSystem,
        };
    }

    private static string SourceOf(int index, IReadOnlyDictionary<int, string> sources, string at, string? source) =>
        sources.TryGetValue(index, out var path) ? path : throw new ContainerException($"{at}: {source} is not shared with the guest");

    private static IdMappings? MappingsOf(Mount mount, MountFlags flags, LinuxSpec linux) =>
        mount.OwnerMappings(linux) is var (users, groups)
            ? new IdMappings(Ranges(users), Ranges(groups), flags.MapIdsRecursively) : null;

    private static List<IdRange> Ranges(IReadOnlyList<IdMapping> mappings) =>
        [.. mappings.Select(mapping => new IdRange(mapping.ContainerId, mapping.HostId, mapping.Size))];
}
