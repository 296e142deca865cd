using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>config.md, "Process": the container's first process, or one that exec adds.</summary>
public sealed record ProcessSpec
{
    public bool Terminal { get; init; }

    /// <summary>Counts only with a terminal.</summary>
    public ConsoleSize? ConsoleSize { get; init; }

    /// <summary>Root where the document has none.</summary>
    public User User { get; init; } = User.Root;

    /// <summary>Never null or empty after parsing.</summary>
    public IReadOnlyList<string>? Args { get; init; }

    /// <summary>Each NAME=VALUE.</summary>
    public IReadOnlyList<string>? Env { get; init; }

    public required string Cwd { get; init; }

    public Capabilities? Capabilities { get; init; }

    public IReadOnlyList<Rlimit>? Rlimits { get; init; }

    public bool NoNewPrivileges { get; init; }

    public string? ApparmorProfile { get; init; }

    public int? OomScoreAdj { get; init; }

    public Scheduler? Scheduler { get; init; }

    public string? SelinuxLabel { get; init; }

    public IoPriority? IoPriority { get; init; }

    [JsonPropertyName("execCPUAffinity")]
    public ExecCpuAffinity? ExecCpuAffinity { get; init; }

    /// <summary>Reads and checks the process object that exec is given.</summary>
    /// <exception cref="OciException">The document is not JSON, or breaks the specification.</exception>
    public static ProcessSpec Parse(ReadOnlySpan<byte> json)
    {
        var process = OciJson.Parse(json, ProcessReader.Process);
        ProcessRules.Check(process, "$");
        return process;
    }

    public byte[] ToUtf8Json() => OciJson.WriteUtf8(this, OciJson.Compact.ProcessSpec);
}

/// <summary>Characters.</summary>
public sealed record ConsoleSize
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Height { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Width { get; init; }
}

/// <summary>config.md, "POSIX-platform User".</summary>
public sealed record User
{
    internal static readonly User Root = new();

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Uid { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Gid { get; init; }

    public uint? Umask { get; init; }

    public IReadOnlyList<uint>? AdditionalGids { get; init; }
}

/// <summary>config.md, "Linux Process", capabilities. Names as "CAP_KILL"; unknown ones are ignored, as runc does.</summary>
public sealed record Capabilities
{
    public IReadOnlyList<string>? Bounding { get; init; }

    public IReadOnlyList<string>? Effective { get; init; }

    public IReadOnlyList<string>? Inheritable { get; init; }

    public IReadOnlyList<string>? Permitted { get; init; }

    public IReadOnlyList<string>? Ambient { get; init; }
}

/// <summary>config.md, "POSIX process", rlimits.</summary>
public sealed record Rlimit
{
    /// <summary>For example "RLIMIT_NOFILE".</summary>
    public required string Type { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public ulong Hard { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public ulong Soft { get; init; }
}

/// <summary>config.md, "Linux Process", scheduler: sched_setattr(2). Times in nanoseconds.</summary>
public sealed record Scheduler
{
    /// <summary>The index is the kernel's number.</summary>
    public static IReadOnlyList<string> Policies { get; } =
        ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

    /// <summary>The index is the bit's.</summary>
    public static IReadOnlyList<string> KnownFlags { get; } =
    [
        "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
    ];

    /// <summary>For example "SCHED_FIFO".</summary>
    public required string Policy { get; init; }

    public int Nice { get; init; }

    public int Priority { get; init; }

    public IReadOnlyList<string>? Flags { get; init; }

    public ulong Runtime { get; init; }

    public ulong Deadline { get; init; }

    public ulong Period { get; init; }
}

/// <summary>config.md, "Linux Process", ioPriority: ioprio_set(2).</summary>
public sealed record IoPriority
{
    /// <summary>"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE" or "IOPRIO_CLASS_IDLE".</summary>
    public required string Class { get; init; }

    /// <summary>0, the highest, to 7.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Priority { get; init; }
}

/// <summary>config.md, "Linux Process", execCPUAffinity. CPU lists such as "0-3,7".</summary>
public sealed record ExecCpuAffinity
{
    public string? Initial { get; init; }

    public string? Final { get; init; }
}
