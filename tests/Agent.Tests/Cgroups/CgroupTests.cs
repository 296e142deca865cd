using KataLike.Agent.Cgroups;
using KataLike.Agent.Containers;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Tests.Cgroups;

/// <summary>Settings and figures, on a directory that only looks like a cgroup.</summary>
public sealed class CgroupTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-cgroup-").FullName;

    private static string[] Settings(Resources resources) =>
        [.. CgroupSettings.From(resources).Select(setting => $"{setting.File} {setting.Value}")];

    [Fact]
    public void LimitsBecomeThoseOfVersion2()
    {
        Assert.Equal(
            [
                "cpu.weight 39", "cpu.max 50000 100000", "cpuset.cpus 0-1", "cpuset.mems 0",
                "memory.swap.max 1048576", "memory.max 2097152", "memory.low 1024", "pids.max 10",
                "io.weight default 4950", "io.max 8:0 rbps=1000", "io.max 8:16 wiops=max", "hugetlb.2MB.max 4096", "memory.high 5",
            ],
            Settings(new Resources
            {
                Cpu = new CpuLimits { Shares = 1024, Quota = 50000, Cpus = "0-1", Mems = "0" },
                Memory = new MemoryLimits { Limit = 2 << 20, Swap = 3 << 20, Reservation = 1024 },
                Pids = new PidsLimits { Limit = 10 },
                BlockIo = new BlockIoLimits
                {
                    Weight = 500,
                    ThrottleReadBpsDevice = [new ThrottleDevice { Major = 8, Minor = 0, Rate = 1000 }],
                    ThrottleWriteIopsDevice = [new ThrottleDevice { Major = 8, Minor = 16 }],
                },
                HugepageLimits = [new HugepageLimit { PageSize = "2MB", Limit = 4096 }],
                Unified = new Dictionary<string, string> { ["memory.high"] = "5" },
            }));
    }

    [Theory]
    [InlineData(2ul, 1)]
    [InlineData(1ul, 1)]
    [InlineData(262144ul, 10000)]
    [InlineData(ulong.MaxValue, 10000)]
    public void SharesBecomeWeights(ulong shares, int weight) =>
        Assert.Equal([$"cpu.weight {weight}"], Settings(new Resources { Cpu = new CpuLimits { Shares = shares } }));

    [Fact]
    public void NoLimitIsMax()
    {
        Assert.Equal(["memory.swap.max max", "memory.max max"], Settings(new Resources { Memory = new MemoryLimits { Limit = -1 } }));
        Assert.Equal(["memory.swap.max 0", "memory.max 5"], Settings(new Resources { Memory = new MemoryLimits { Limit = 5, Swap = 5 } }));
        Assert.Equal(["cpu.max max 100000"], Settings(new Resources { Cpu = new CpuLimits { Quota = -1 } }));
        Assert.Equal(["cpu.max max 50000"], Settings(new Resources { Cpu = new CpuLimits { Period = 50000 } }));
        Assert.Equal(["pids.max max"], Settings(new Resources { Pids = new PidsLimits { Limit = -1 } }));
        Assert.Empty(Settings(new Resources { Pids = new PidsLimits { Limit = 0 } }));
        Assert.Throws<ContainerException>(() => Settings(new Resources { Memory = new MemoryLimits { Limit = 5, Swap = 4 } }));
        Assert.Throws<ContainerException>(() => Settings(new Resources { Memory = new MemoryLimits { Swap = 4 } }));
    }

    [Fact]
    public void SettingsAreWrittenAndWhatIsMissingIsNamed()
    {
        File.WriteAllText($"{_directory}/pids.max", "");
        using var cgroup = new Cgroup(new CgroupRoot(_directory), _directory);
        cgroup.Apply([new CgroupSetting("pids.max", "7"), new CgroupSetting("memory.swap.max", "1", Optional: true)]);
        Assert.Equal("7", File.ReadAllText($"{_directory}/pids.max"));
        var error = Assert.Throws<ContainerException>(() => cgroup.Apply([new CgroupSetting("memory.max", "1")]));
        Assert.Equal("linux.resources: cannot set memory.max to 1: the guest's kernel has no such limit", error.Message);
        Assert.False(File.Exists($"{_directory}/memory.max"));
    }

    [Fact]
    public void ControllersArePassedDown()
    {
        File.WriteAllText($"{_directory}/cgroup.controllers", "cpu memory pids\n");
        File.WriteAllText($"{_directory}/cgroup.subtree_control", "cpu");
        File.WriteAllText($"{_directory}/cgroup.procs", "");
        Directory.CreateDirectory($"{_directory}/box");
        File.WriteAllText($"{_directory}/box/cgroup.procs", "");
        using var cgroup = new CgroupRoot(_directory).Create("box");
        Assert.Equal($"{_directory}/box", cgroup.Path);
        Assert.Equal("+pids", File.ReadAllText($"{_directory}/cgroup.subtree_control")[..5]);

        File.WriteAllText($"{_directory}/box/cgroup.procs", "1\n");
        Assert.Throws<ContainerException>(() => new CgroupRoot(_directory).Create("box"));
    }

    [Fact]
    public void FiguresAreRead()
    {
        foreach (var (file, content) in new Dictionary<string, string>
        {
            ["cpu.stat"] = "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_throttled 2\nfuture_field 1\n",
            ["memory.current"] = "4096\n", ["memory.max"] = "max\n", ["memory.stat"] = "anon 1\nfile 2\n",
            ["memory.events"] = "oom 1\noom_kill 1\n", ["pids.current"] = "2\n", ["pids.max"] = "10\n",
            ["io.stat"] = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\nbroken\n253:1 \n",
        })
            File.WriteAllText($"{_directory}/{file}", content);
        using var directory = Files.Open(_directory, Files.ReadOnly | Files.Directory);
        var stats = CgroupStats.Read(directory);
        Assert.Equal(new StatsResponse.Types.Cpu { UsageUsec = 10, UserUsec = 7, SystemUsec = 3, NrThrottled = 2 }, stats.Cpu);
        Assert.Equal((4096ul, ulong.MaxValue, 0ul), (stats.Memory.Current, stats.Memory.Max, stats.Memory.SwapMax));
        Assert.Equal(2ul, stats.Memory.Stat["file"]);
        Assert.Equal(1ul, stats.Memory.Events["oom_kill"]);
        Assert.Equal((2ul, 10ul), (stats.Pids.Current, stats.Pids.Max));
        Assert.Equal(new StatsResponse.Types.Io { Major = 8, Rbytes = 1, Wbytes = 2, Rios = 3, Wios = 4 }, stats.Io[0]);
        Assert.Equal(2, stats.Io.Count);
    }

    [Fact]
    public void MemoryKillsAreTold()
    {
        var file = $"{_directory}/memory.events";
        File.WriteAllText(file, "oom_kill 0\n");
        using var cgroup = new Cgroup(new CgroupRoot(_directory), _directory);
        using var told = new SemaphoreSlim(0);
        cgroup.WatchMemoryEvents(() => told.Release());
        using var events = Files.Open(file, Files.WriteOnly);
        Files.Write(events, "oom_kill 1\n"u8);
        Assert.True(told.Wait(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public void DeviceProgramEndsWithTheRuleThatCoversAll()
    {
        var everything = DeviceProgram.Compile([new DeviceRule { Allow = true, Access = "rwm" }]);
        var nothing = DeviceProgram.Compile([new DeviceRule { Allow = true, Access = "rwm" }, new DeviceRule { Allow = false, Type = "a" }]);
        // mov r0, 1 or 0; exit.
        Assert.Equal([0xb4, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0], everything[^16..]);
        Assert.Equal([0xb4, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0], nothing[^16..]);
        Assert.Equal(everything.Length, nothing.Length);
        Assert.Equal(nothing, DeviceProgram.Compile([]));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
