using KataLike.Contract.Agent;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Tests.Shim;

public class CgroupMetricsTests
{
    [Fact]
    public void Figures_arrive_under_containerds_names()
    {
        var stats = new StatsResponse
        {
            Cpu = new() { UsageUsec = 3, UserUsec = 2, SystemUsec = 1, NrThrottled = 9 },
            Memory = new() { Current = 100, Max = 200, Peak = 150 },
            Pids = new() { Current = 4, Max = ulong.MaxValue },
        };
        stats.Memory.Stat["anon"] = 70;
        stats.Memory.Stat["workingset_refault_anon"] = 5;
        stats.Memory.Stat["workingset_refault_file"] = 6;
        stats.Memory.Events["oom_kill"] = 1;
        stats.Io.Add(new StatsResponse.Types.Io { Major = 8, Rbytes = 512 });

        var metrics = CgroupMetrics.From(stats);

        Assert.Equal((3ul, 2ul, 1ul, 9ul), (metrics.Cpu.UsageUsec, metrics.Cpu.UserUsec, metrics.Cpu.SystemUsec, metrics.Cpu.NrThrottled));
        Assert.Equal((100ul, 200ul, 150ul, 70ul, 11ul),
            (metrics.Memory.Usage, metrics.Memory.UsageLimit, metrics.Memory.MaxUsage, metrics.Memory.Anon, metrics.Memory.WorkingsetRefault));
        Assert.Equal((4ul, 0ul), (metrics.Pids.Current, metrics.Pids.Limit));
        Assert.Equal((1ul, 512ul), (metrics.MemoryEvents.OomKill, Assert.Single(metrics.Io.Usage).Rbytes));
        Assert.Equal("io.containerd.cgroups.v2.Metrics", CgroupMetrics.Pack(stats).TypeUrl);
    }

    [Fact]
    public void A_guest_that_answers_nothing_gives_zeros() => Assert.Equal(0ul, CgroupMetrics.From(new StatsResponse()).Memory.Usage);
}
