using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>A limit by its number (RLIMIT_NOFILE is 7).</summary>
internal readonly record struct ResourceLimit(int Resource, ulong Soft, ulong Hard);

/// <summary>What a process gets between its birth and execve (config.md, "Process").</summary>
internal sealed record ProcessPlan
{
    // Numbers of the asm-generic headers.
    private static readonly string[] _resources =
    [
        "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
        "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
    ];

    public required IReadOnlyList<string> Arguments { get; init; }

    public required IReadOnlyList<string> Environment { get; init; }

    public required string WorkingDirectory { get; init; }

    public required uint UserId { get; init; }

    public required uint GroupId { get; init; }

    public required IReadOnlyList<uint> AdditionalGroups { get; init; }

    public required int Umask { get; init; }

    /// <summary>Null: all that the agent has.</summary>
    public required CapabilitySets? Capabilities { get; init; }

    public required IReadOnlyList<ResourceLimit> Limits { get; init; }

    public required bool NoNewPrivileges { get; init; }

    public int? OomScoreAdjustment { get; init; }

    /// <summary>Of a terminal that nobody gives another size.</summary>
    public (ushort Columns, ushort Rows) ConsoleSize { get; init; }

    public SchedulingPolicy? Scheduling { get; init; }

    public (int Class, int Priority)? IoPriority { get; init; }

    /// <summary>Of a process that exec adds; null: all that the container has.</summary>
    public IReadOnlyList<int>? Processors { get; init; }

    /// <summary>The program where it is not the first argument.</summary>
    public string? Path { get; init; }

    /// <summary>The program by its path, or by a name that is looked up.</summary>
    public string Program => Path ?? Arguments[0];

    /// <summary>The program's path, or all that it may have by the PATH of the process's own environment.</summary>
    public IReadOnlyList<string> Candidates => Program.Contains('/')
        ? [Program]
        : [.. SearchPath().Select(directory => $"{(directory.Length == 0 ? "." : directory)}/{Program}")];

    private IEnumerable<string> SearchPath() =>
        Environment.FirstOrDefault(entry => entry.StartsWith("PATH=", StringComparison.Ordinal))?[5..].Split(':') ?? [];

    public static ProcessPlan From(ProcessSpec process)
    {
        return new ProcessPlan
        {
            Arguments = process.Args!,
            Environment = Environments.EachOnce(process.Env ?? []),
            WorkingDirectory = process.Cwd,
            UserId = process.User.Uid,
            GroupId = process.User.Gid,
            AdditionalGroups = process.User.AdditionalGids ?? [],
            Umask = (int)(process.User.Umask ?? 0x12 /* 022 */),
            Capabilities = Sets(process.Capabilities),
            Limits = [.. (process.Rlimits ?? []).Select(limit =>
                new ResourceLimit(Array.IndexOf(_resources, limit.Type), limit.Soft, limit.Hard))],
            NoNewPrivileges = process.NoNewPrivileges,
            OomScoreAdjustment = process.OomScoreAdj,
            ConsoleSize = ((ushort)(process.ConsoleSize?.Width ?? 0), (ushort)(process.ConsoleSize?.Height ?? 0)),
            Scheduling = process.Scheduler is { } scheduler ? PolicyOf(scheduler) : null,
            IoPriority = process.IoPriority is { } io ? (ClassOf(io), io.Priority) : null,
            Processors = process.ExecCpuAffinity?.Final is { Length: > 0 } final ? ProcessorList.Parse(final) : null,
        };
    }

    /// <summary>Without capabilities in the document the process has none, as with runc.</summary>
    private static CapabilitySets Sets(Capabilities? names) => new(
        CapabilityNames.Set(names?.Bounding), CapabilityNames.Set(names?.Effective), CapabilityNames.Set(names?.Inheritable),
        CapabilityNames.Set(names?.Permitted), CapabilityNames.Set(names?.Ambient));

    private static SchedulingPolicy PolicyOf(Scheduler scheduler) => new(
        (uint)Scheduler.Policies.ToList().IndexOf(scheduler.Policy),
        (scheduler.Flags ?? []).Aggregate(0ul, (all, flag) => all | 1ul << Scheduler.KnownFlags.ToList().IndexOf(flag)),
        scheduler.Nice, (uint)scheduler.Priority, scheduler.Runtime, scheduler.Deadline, scheduler.Period);

    private static int ClassOf(IoPriority priority) => priority.Class switch
    {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        _ => 3,
    };
}
