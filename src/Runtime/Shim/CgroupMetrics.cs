using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Agent;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.CgroupsV2;

namespace KataLike.Runtime.Shim;

/// <summary>A container's figures from the guest in the form that containerd and ctr read.</summary>
internal static class CgroupMetrics
{
    public static Any Pack(StatsResponse stats) => TypeUrl.Pack(TypeUrl.CgroupsV2Metrics, From(stats));

    internal static Metrics From(StatsResponse stats)
    {
        var metrics = new Metrics
        {
            Pids = new PidsStat { Current = stats.Pids?.Current ?? 0, Limit = Limit(stats.Pids?.Max ?? 0) },
            Cpu = Cpu(stats.Cpu ?? new()),
            Memory = Memory(stats.Memory ?? new()),
            MemoryEvents = MemoryEvents(stats.Memory ?? new()),
            Io = new IOStat(),
        };
        foreach (var io in stats.Io)
        {
            metrics.Io.Usage.Add(new IOEntry
            {
                Major = io.Major,
                Minor = io.Minor,
                Rbytes = io.Rbytes,
                Wbytes = io.Wbytes,
                Rios = io.Rios,
                Wios = io.Wios,
            });
        }
        return metrics;
    }

    /// <summary>containerd writes no limit on the number of processes as 0.</summary>
    private static ulong Limit(ulong pids) => pids == ulong.MaxValue ? 0 : pids;

    private static CPUStat Cpu(StatsResponse.Types.Cpu cpu) => new()
    {
        UsageUsec = cpu.UsageUsec,
        UserUsec = cpu.UserUsec,
        SystemUsec = cpu.SystemUsec,
        NrPeriods = cpu.NrPeriods,
        NrThrottled = cpu.NrThrottled,
        ThrottledUsec = cpu.ThrottledUsec,
    };

    private static MemoryEvents MemoryEvents(StatsResponse.Types.Memory memory)
    {
        ulong Of(string name) => memory.Events.TryGetValue(name, out var value) ? value : 0;
        return new MemoryEvents { Low = Of("low"), High = Of("high"), Max = Of("max"), Oom = Of("oom"), OomKill = Of("oom_kill") };
    }

    private static MemoryStat Memory(StatsResponse.Types.Memory memory)
    {
        ulong Of(string name) => memory.Stat.TryGetValue(name, out var value) ? value : 0;
        return new MemoryStat
        {
            Anon = Of("anon"),
            File = Of("file"),
            KernelStack = Of("kernel_stack"),
            Slab = Of("slab"),
            Sock = Of("sock"),
            Shmem = Of("shmem"),
            FileMapped = Of("file_mapped"),
            FileDirty = Of("file_dirty"),
            FileWriteback = Of("file_writeback"),
            AnonThp = Of("anon_thp"),
            InactiveAnon = Of("inactive_anon"),
            ActiveAnon = Of("active_anon"),
            InactiveFile = Of("inactive_file"),
            ActiveFile = Of("active_file"),
            Unevictable = Of("unevictable"),
            SlabReclaimable = Of("slab_reclaimable"),
            SlabUnreclaimable = Of("slab_unreclaimable"),
            Pgfault = Of("pgfault"),
            Pgmajfault = Of("pgmajfault"),
            WorkingsetRefault = Of("workingset_refault_anon") + Of("workingset_refault_file"),
            WorkingsetActivate = Of("workingset_activate_anon") + Of("workingset_activate_file"),
            WorkingsetNodereclaim = Of("workingset_nodereclaim"),
            Pgrefill = Of("pgrefill"),
            Pgscan = Of("pgscan"),
            Pgsteal = Of("pgsteal"),
            Pgactivate = Of("pgactivate"),
            Pgdeactivate = Of("pgdeactivate"),
            Pglazyfree = Of("pglazyfree"),
            Pglazyfreed = Of("pglazyfreed"),
            ThpFaultAlloc = Of("thp_fault_alloc"),
            ThpCollapseAlloc = Of("thp_collapse_alloc"),
            Usage = memory.Current,
            UsageLimit = memory.Max,
            SwapUsage = memory.SwapCurrent,
            SwapLimit = memory.SwapMax,
            MaxUsage = memory.Peak,
        };
    }
}
