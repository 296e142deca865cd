namespace KataLike.Contract.Oci;

/// <summary>features.md: what the runtime knows. Null: not said, rather than no.</summary>
public sealed record Features
{
    public string? OciVersionMin { get; init; }

    public string? OciVersionMax { get; init; }

    public IReadOnlyList<string>? Hooks { get; init; }

    public IReadOnlyList<string>? MountOptions { get; init; }

    public LinuxFeatures? Linux { get; init; }

    public IReadOnlyDictionary<string, string>? Annotations { get; init; }

    /// <summary>One that ends with a dot is a prefix.</summary>
    public IReadOnlyList<string>? PotentiallyUnsafeConfigAnnotations { get; init; }

    /// <summary>Indented as runc prints it.</summary>
    public string ToJson() => OciJson.Write(this, OciJson.FourSpaces.Features);
}

/// <summary>features-linux.md.</summary>
public sealed record LinuxFeatures
{
    public IReadOnlyList<string>? Namespaces { get; init; }

    public IReadOnlyList<string>? Capabilities { get; init; }

    public CgroupFeatures? Cgroup { get; init; }

    public SeccompFeatures? Seccomp { get; init; }

    public Feature? Apparmor { get; init; }

    public Feature? Selinux { get; init; }

    public IntelRdtFeatures? IntelRdt { get; init; }

    public MemoryPolicyFeatures? MemoryPolicy { get; init; }

    public MountExtensionFeatures? MountExtensions { get; init; }

    public Feature? NetDevices { get; init; }
}

/// <summary>Something that is there or not.</summary>
public sealed record Feature
{
    public bool? Enabled { get; init; }
}

/// <summary>features-linux.md, "Cgroup".</summary>
public sealed record CgroupFeatures
{
    public bool? V1 { get; init; }

    public bool? V2 { get; init; }

    public bool? Systemd { get; init; }

    public bool? SystemdUser { get; init; }

    public bool? Rdma { get; init; }
}

/// <summary>features-linux.md, "Seccomp".</summary>
public sealed record SeccompFeatures
{
    public bool? Enabled { get; init; }

    public IReadOnlyList<string>? Actions { get; init; }

    public IReadOnlyList<string>? Operators { get; init; }

    public IReadOnlyList<string>? Archs { get; init; }

    public IReadOnlyList<string>? KnownFlags { get; init; }

    public IReadOnlyList<string>? SupportedFlags { get; init; }
}

/// <summary>features-linux.md, "Intel RDT".</summary>
public sealed record IntelRdtFeatures
{
    public bool? Enabled { get; init; }

    public bool? Schemata { get; init; }

    public bool? Monitoring { get; init; }
}

/// <summary>features-linux.md, "Memory policy".</summary>
public sealed record MemoryPolicyFeatures
{
    public IReadOnlyList<string>? Modes { get; init; }

    public IReadOnlyList<string>? Flags { get; init; }
}

/// <summary>features-linux.md, "Mount Extensions".</summary>
public sealed record MountExtensionFeatures
{
    public Feature? Idmap { get; init; }
}
