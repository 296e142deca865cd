using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>config-linux.md.</summary>
public sealed record LinuxSpec
{
    public IReadOnlyList<IdMapping>? UidMappings { get; init; }

    public IReadOnlyList<IdMapping>? GidMappings { get; init; }

    public IReadOnlyDictionary<string, string>? Sysctl { get; init; }

    public Resources? Resources { get; init; }

    public string? CgroupsPath { get; init; }

    /// <summary>Each type at most once.</summary>
    public IReadOnlyList<Namespace>? Namespaces { get; init; }

    public IReadOnlyList<Device>? Devices { get; init; }

    /// <summary>By the interface's name on the host.</summary>
    public IReadOnlyDictionary<string, NetDevice>? NetDevices { get; init; }

    public Seccomp? Seccomp { get; init; }

    /// <summary>"shared", "slave", "private" or "unbindable", or one of these with an r before it.</summary>
    public string? RootfsPropagation { get; init; }

    public IReadOnlyList<string>? MaskedPaths { get; init; }

    public IReadOnlyList<string>? ReadonlyPaths { get; init; }

    public string? MountLabel { get; init; }

    public IntelRdt? IntelRdt { get; init; }

    public MemoryPolicy? MemoryPolicy { get; init; }

    public Personality? Personality { get; init; }

    /// <summary>By clock: "boottime" or "monotonic".</summary>
    public IReadOnlyDictionary<string, TimeOffset>? TimeOffsets { get; init; }

    /// <summary>The namespace of this type, or null: the runtime's own is kept.</summary>
    public Namespace? FindNamespace(string type) => Namespaces?.FirstOrDefault(entry => entry.Type == type);
}

/// <summary>config-linux.md, "Namespaces".</summary>
public sealed record Namespace
{
    /// <summary>"pid", "network", "mount", "ipc", "uts", "user", "cgroup" or "time".</summary>
    public required string Type { get; init; }

    /// <summary>Absolute path of a namespace to join; null or empty: a new one.</summary>
    public string? Path { get; init; }
}

/// <summary>config-linux.md, "Devices": a node that is made in the container.</summary>
public sealed record Device
{
    public required string Path { get; init; }

    /// <summary>"c", "b", "u" or "p".</summary>
    public required string Type { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Major { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Minor { get; init; }

    public uint? FileMode { get; init; }

    public uint? Uid { get; init; }

    public uint? Gid { get; init; }
}

/// <summary>config-linux.md, "Network Devices".</summary>
public sealed record NetDevice
{
    /// <summary>Name in the container; null: the same.</summary>
    public string? Name { get; init; }
}

/// <summary>config-linux.md, "IntelRdt".</summary>
public sealed record IntelRdt
{
    [JsonPropertyName("closID")]
    public string? ClosId { get; init; }

    public IReadOnlyList<string>? Schemata { get; init; }

    public string? L3CacheSchema { get; init; }

    public string? MemBwSchema { get; init; }

    public bool EnableMonitoring { get; init; }
}

/// <summary>config-linux.md, "Memory policy": set_mempolicy(2).</summary>
public sealed record MemoryPolicy
{
    /// <summary>For example "MPOL_BIND".</summary>
    public required string Mode { get; init; }

    /// <summary>List of nodes such as "0-3,7".</summary>
    public string? Nodes { get; init; }

    public IReadOnlyList<string>? Flags { get; init; }
}

/// <summary>config-linux.md, "Personality".</summary>
public sealed record Personality
{
    /// <summary>"LINUX" or "LINUX32".</summary>
    public required string Domain { get; init; }

    public IReadOnlyList<string>? Flags { get; init; }
}

/// <summary>config-linux.md, "Offset for Time Namespace".</summary>
public sealed record TimeOffset
{
    public long Secs { get; init; }

    public uint Nanosecs { get; init; }
}
