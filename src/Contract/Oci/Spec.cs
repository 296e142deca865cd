using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>config.json of a bundle, version 1.3 of the specification (config.md).</summary>
/// <remarks>Lists, maps and sections that the document leaves out are null. Fields that we do not know are skipped.</remarks>
public sealed record Spec
{
    /// <summary>config.md, "Specification version".</summary>
    public required string OciVersion { get; init; }

    public ProcessSpec? Process { get; init; }

    public Root? Root { get; init; }

    public string? Hostname { get; init; }

    public string? Domainname { get; init; }

    /// <summary>In the order in which they are made.</summary>
    public IReadOnlyList<Mount>? Mounts { get; init; }

    public Hooks? Hooks { get; init; }

    public IReadOnlyDictionary<string, string>? Annotations { get; init; }

    public LinuxSpec? Linux { get; init; }

    public VmSpec? Vm { get; init; }

    /// <summary>Reads and checks config.json.</summary>
    /// <remarks>After it <see cref="Process"/> and <see cref="Root"/> are not null, and no list or map holds a null.</remarks>
    /// <exception cref="OciException">The document is not JSON, or breaks the specification.</exception>
    public static Spec Parse(ReadOnlySpan<byte> json)
    {
        var spec = OciJson.Parse(json, SpecReader.Spec);
        SpecRules.Check(spec);
        return spec;
    }

    /// <summary>What `spec` prints: the same bundle as runc's.</summary>
    public static Spec Default() => DefaultSpec.Create();

    /// <summary>Indented with tabs, as `runc spec` writes it.</summary>
    public string ToJson() => OciJson.Write(this, OciJson.Tabs.Spec);
}

/// <summary>config.md, "Root".</summary>
public sealed record Root
{
    /// <summary>Absolute, or relative to the bundle.</summary>
    public required string Path { get; init; }

    public bool Readonly { get; init; }
}

/// <summary>config.md, "Mounts".</summary>
public sealed record Mount
{
    /// <summary>Path in the container; a relative one counts from its root.</summary>
    public required string Destination { get; init; }

    public string? Type { get; init; }

    /// <summary>Device name or path; a relative path of a bind mount counts from the bundle.</summary>
    public string? Source { get; init; }

    /// <summary>As in fstab; "bind" and "rbind" make a bind mount whatever the type says.</summary>
    public IReadOnlyList<string>? Options { get; init; }

    public IReadOnlyList<IdMapping>? UidMappings { get; init; }

    public IReadOnlyList<IdMapping>? GidMappings { get; init; }

    /// <summary>How its owners are to be mapped: its own mappings, or with "idmap" those of the container; null: not at all.</summary>
    public (IReadOnlyList<IdMapping> Users, IReadOnlyList<IdMapping> Groups)? OwnerMappings(LinuxSpec? linux) =>
        UidMappings is { Count: > 0 } users ? (users, GidMappings ?? [])
        : Options?.Any(option => option is "idmap" or "ridmap") == true ? (linux?.UidMappings ?? [], linux?.GidMappings ?? [])
        : null;
}

/// <summary>config.md, "POSIX-platform Hooks"; each list runs in order.</summary>
public sealed record Hooks
{
    /// <summary>Deprecated by the specification, still sent.</summary>
    public IReadOnlyList<Hook>? Prestart { get; init; }

    public IReadOnlyList<Hook>? CreateRuntime { get; init; }

    public IReadOnlyList<Hook>? CreateContainer { get; init; }

    public IReadOnlyList<Hook>? StartContainer { get; init; }

    public IReadOnlyList<Hook>? Poststart { get; init; }

    public IReadOnlyList<Hook>? Poststop { get; init; }
}

/// <summary>One program that a hook runs; it reads the state on its standard input.</summary>
public sealed record Hook
{
    public required string Path { get; init; }

    /// <summary>With argv[0].</summary>
    public IReadOnlyList<string>? Args { get; init; }

    public IReadOnlyList<string>? Env { get; init; }

    /// <summary>Seconds.</summary>
    public int? Timeout { get; init; }
}

/// <summary>config-linux.md, "User namespace mappings".</summary>
public sealed record IdMapping
{
    [JsonPropertyName("containerID"), JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint ContainerId { get; init; }

    [JsonPropertyName("hostID"), JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint HostId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Size { get; init; }
}
