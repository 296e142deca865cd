using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>config-linux.md, "Control groups": what cgroups limit.</summary>
public sealed record Resources
{
    public IReadOnlyList<DeviceRule>? Devices { get; init; }

    public MemoryLimits? Memory { get; init; }

    public CpuLimits? Cpu { get; init; }

    public PidsLimits? Pids { get; init; }

    [JsonPropertyName("blockIO")]
    public BlockIoLimits? BlockIo { get; init; }

    public IReadOnlyList<HugepageLimit>? HugepageLimits { get; init; }

    public NetworkLimits? Network { get; init; }

    /// <summary>By device.</summary>
    public IReadOnlyDictionary<string, RdmaLimits>? Rdma { get; init; }

    /// <summary>Files of cgroup v2 and what is written to them.</summary>
    public IReadOnlyDictionary<string, string>? Unified { get; init; }

    /// <summary>Reads and checks the resources that an update is given.</summary>
    /// <exception cref="OciException">The document is not JSON, or breaks the specification.</exception>
    public static Resources Parse(ReadOnlySpan<byte> json)
    {
        var resources = OciJson.Parse(json, ResourcesReader.Resources);
        LinuxRules.Check(resources, "$");
        return resources;
    }

    public byte[] ToUtf8Json() => OciJson.WriteUtf8(this, OciJson.Compact.Resources);
}

/// <summary>config-linux.md, "Allowed Device list". Later rules override earlier ones.</summary>
public sealed record DeviceRule
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public bool Allow { get; init; }

    /// <summary>"a", "b" or "c"; null: all.</summary>
    public string? Type { get; init; }

    /// <summary>Null or -1: all.</summary>
    public long? Major { get; init; }

    public long? Minor { get; init; }

    /// <summary>Of the letters "rwm".</summary>
    public string? Access { get; init; }
}

/// <summary>config-linux.md, "Memory". Bytes; -1: no limit.</summary>
public sealed record MemoryLimits
{
    public long? Limit { get; init; }

    public long? Reservation { get; init; }

    /// <summary>Memory and swap together, as in cgroup v1.</summary>
    public long? Swap { get; init; }

    public long? Kernel { get; init; }

    [JsonPropertyName("kernelTCP")]
    public long? KernelTcp { get; init; }

    /// <summary>0 to 100; cgroup v1 only.</summary>
    public ulong? Swappiness { get; init; }

    [JsonPropertyName("disableOOMKiller")]
    public bool? DisableOomKiller { get; init; }

    public bool? UseHierarchy { get; init; }

    public bool? CheckBeforeUpdate { get; init; }
}

/// <summary>config-linux.md, "CPU". Microseconds.</summary>
public sealed record CpuLimits
{
    /// <summary>2 to 262144, as in cgroup v1.</summary>
    public ulong? Shares { get; init; }

    public long? Quota { get; init; }

    public ulong? Burst { get; init; }

    public ulong? Period { get; init; }

    public long? RealtimeRuntime { get; init; }

    public ulong? RealtimePeriod { get; init; }

    /// <summary>List such as "0-3,7".</summary>
    public string? Cpus { get; init; }

    public string? Mems { get; init; }

    /// <summary>1: SCHED_IDLE.</summary>
    public long? Idle { get; init; }
}

/// <summary>config-linux.md, "PIDs".</summary>
public sealed record PidsLimits
{
    /// <summary>0 or less: no limit.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Limit { get; init; }
}

/// <summary>config-linux.md, "Block IO".</summary>
public sealed record BlockIoLimits
{
    /// <summary>10 to 1000.</summary>
    public ushort? Weight { get; init; }

    public ushort? LeafWeight { get; init; }

    public IReadOnlyList<WeightDevice>? WeightDevice { get; init; }

    public IReadOnlyList<ThrottleDevice>? ThrottleReadBpsDevice { get; init; }

    public IReadOnlyList<ThrottleDevice>? ThrottleWriteBpsDevice { get; init; }

    [JsonPropertyName("throttleReadIOPSDevice")]
    public IReadOnlyList<ThrottleDevice>? ThrottleReadIopsDevice { get; init; }

    [JsonPropertyName("throttleWriteIOPSDevice")]
    public IReadOnlyList<ThrottleDevice>? ThrottleWriteIopsDevice { get; init; }
}

/// <summary>The weight of one block device.</summary>
public sealed record WeightDevice
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Major { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Minor { get; init; }

    public ushort? Weight { get; init; }

    public ushort? LeafWeight { get; init; }
}

/// <summary>The rate of one block device, bytes or operations a second.</summary>
public sealed record ThrottleDevice
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Major { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Minor { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public ulong Rate { get; init; }
}

/// <summary>config-linux.md, "Huge page limits".</summary>
public sealed record HugepageLimit
{
    /// <summary>For example "2MB".</summary>
    public required string PageSize { get; init; }

    /// <summary>Bytes.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public ulong Limit { get; init; }
}

/// <summary>config-linux.md, "Network"; cgroup v1 only.</summary>
public sealed record NetworkLimits
{
    [JsonPropertyName("classID")]
    public uint? ClassId { get; init; }

    public IReadOnlyList<InterfacePriority>? Priorities { get; init; }
}

/// <summary>The priority of one network interface.</summary>
public sealed record InterfacePriority
{
    public required string Name { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Priority { get; init; }
}

/// <summary>config-linux.md, "RDMA".</summary>
public sealed record RdmaLimits
{
    public uint? HcaHandles { get; init; }

    public uint? HcaObjects { get; init; }
}
