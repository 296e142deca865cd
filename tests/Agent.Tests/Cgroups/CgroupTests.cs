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
                "io.weight default 4950", "io.weight 8:0 1", "io.max 8:0 rbps=1000", "io.max 8:16 wiops=max",
                "hugetlb.2MB.max 4096", "hugetlb.2MB.rsvd.max 4096", "rdma.max mlx5_1 hca_handle=3 hca_object=max",
                "memory.high 5", "io.max 8:0 rbps=1", "io.max 8:16 rbps=2",
            ],
            Settings(new Resources
            {
                Cpu = new CpuLimits { Shares = 1024, Quota = 50000, Cpus = "0-1", Mems = "0" },
                Memory = new MemoryLimits { Limit = 2 << 20, Swap = 3 << 20, Reservation = 1024 },
                Pids = new PidsLimits { Limit = 10 },
                BlockIo = new BlockIoLimits
                {
                    Weight = 500,
                    WeightDevice = [new WeightDevice { Major = 8, Minor = 0, Weight = 10 }, new WeightDevice { Major = 8, Minor = 1, LeafWeight = 10 }],
                    ThrottleReadBpsDevice = [new ThrottleDevice { Major = 8, Minor = 0, Rate = 1000 }],
                    ThrottleWriteIopsDevice = [new ThrottleDevice { Major = 8, Minor = 16 }],
                },
                HugepageLimits = [new HugepageLimit { PageSize = "2MB", Limit = 4096 }],
                Unified = new Dictionary<string, string> { ["memory.high"] = "5", ["io.max"] = "8:0 rbps=1\n8:16 rbps=2\n" },
                Rdma = new Dictionary<string, RdmaLimits> { ["mlx5_1"] = new() { HcaHandles = 3 } },
                // Those that version 2 has not are passed over, as with runc.
                Network = new NetworkLimits { ClassId = 1 },
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
        File.WriteAllText($"{_directory}/cgroup.controllers", "pids\n");
        error = Assert.Throws<ContainerException>(() => cgroup.Apply([new CgroupSetting("misc.max", "1", IsUnified: true)]));
        Assert.Equal("unified resource \"misc.max\" can't be set: controller \"misc\" not available", error.Message);
    }

    [Theory]
    [InlineData("cpus", "0-1", "0-1")]
    [InlineData("cpus", "1,0", "1,0")]
    [InlineData("cpus", "4-5", null)]
    [InlineData("cpus", "1-2", null)]
    [InlineData("cpus", "0-2147483647", null)]
    [InlineData("cpus", "0-1,x", "0-1,x")]
    [InlineData("mems", "0", "0")]
    [InlineData("mems", "0-1", "0")]
    public void ProcessorsAndNodesOfTheHostAreNotFollowed(string kind, string named, string? written)
    {
        File.WriteAllText($"{_directory}/cpuset.cpus.effective", "0-1,3\n");
        File.WriteAllText($"{_directory}/cpuset.mems.effective", "0\n");
        File.WriteAllText($"{_directory}/cpuset.{kind}", "");
        using var cgroup = new Cgroup(new CgroupRoot(_directory), _directory);
        cgroup.Apply(CgroupSettings.From(new Resources { Cpu = kind == "cpus" ? new() { Cpus = named } : new() { Mems = named } }));
        Assert.Equal(written ?? File.ReadAllText("/sys/devices/system/cpu/possible").Trim(), File.ReadAllText($"{_directory}/cpuset.{kind}"));
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
            ["memory.current"] = "4096\n",
            ["memory.max"] = "max\n",
            ["memory.stat"] = "anon 1\nfile 2\n",
            ["memory.events"] = "oom 1\noom_kill 1\n",
            ["pids.current"] = "2\n",
            ["pids.max"] = "10\n",
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

    /// <summary>What the kernel would answer, by running the program.</summary>
    private static bool MayUse(IEnumerable<DeviceRule> rules, string access, string type, uint major, uint minor)
    {
        var wanted = access.Aggregate(0u, (all, letter) => all | letter switch { 'm' => 1u, 'r' => 2u, _ => 4u });
        uint[] context = [wanted << 16 | (type == "b" ? 1u : 2u), major, minor];
        var code = DeviceProgram.Compile(rules);
        var registers = new uint[3];
        for (var at = 0; ; at++)
        {
            var instruction = code.AsSpan(at * 8, 8);
            var (to, from) = (instruction[1] & 15, instruction[1] >> 4);
            var (offset, value) = (BitConverter.ToInt16(instruction[2..]), BitConverter.ToUInt32(instruction[4..]));
            switch (instruction[0])
            {
                case 0x61: registers[to] = context[offset / 4]; break;
                case 0x44: registers[to] |= value; break;
                case 0x54: registers[to] &= value; break;
                case 0x5c: registers[to] &= registers[from]; break;
                case 0xa4: registers[to] ^= value; break;
                case 0x74: registers[to] >>= (int)value; break;
                case 0xb4: registers[to] = value; break;
                case 0x15: at += registers[to] == value ? offset : 0; break;
                case 0x55: at += registers[to] != value ? offset : 0; break;
                case 0x95: return registers[0] == 1;
                case var unknown: throw new InvalidDataException($"opcode {unknown:x}");
            }
        }
    }

    [Fact]
    public void DeviceRulesAddUpAndLaterOnesOverride()
    {
        static DeviceRule Rule(bool allow, string? type, long? major, long? minor, string? access) =>
            new() { Allow = allow, Type = type, Major = major, Minor = minor, Access = access };
        var none = Rule(false, null, null, null, "rwm");
        // What every container has.
        Assert.True(MayUse([none], "rw", "c", 1, 3));
        Assert.True(MayUse([none], "m", "b", 8, 0));
        Assert.False(MayUse([none], "r", "b", 8, 0));
        Assert.False(MayUse([], "r", "c", 10, 229));

        DeviceRule[] split = [none, Rule(true, "c", 10, 229, "r"), Rule(true, "c", 10, 229, "w")];
        Assert.True(MayUse(split, "rw", "c", 10, 229));
        Assert.False(MayUse(split, "rw", "c", 10, 230));
        Assert.False(MayUse(split, "rw", "b", 10, 229));
        DeviceRule[] wide = [none, Rule(true, "c", 10, -1, "r"), Rule(true, "c", 10, 229, "w")];
        Assert.True(MayUse(wide, "rw", "c", 10, 229));
        Assert.False(MayUse(wide, "rw", "c", 10, 230));

        DeviceRule[] allBut = [Rule(true, "a", null, null, null), Rule(false, "b", 8, 0, "w")];
        Assert.True(MayUse(allBut, "r", "b", 8, 0));
        Assert.False(MayUse(allBut, "rw", "b", 8, 0));
        Assert.True(MayUse(allBut, "rw", "b", 8, 1));
        Assert.False(MayUse([.. allBut, none], "r", "b", 8, 1));
    }

    [SkippableFact]
    public void ManyDeviceRulesPassTheKernelsVerifier()
    {
        Skip.IfNot(Environment.UserName == "root", "needs root");
        using var program = Bpf.LoadDeviceProgram(DeviceProgram.Compile(Enumerable.Range(0, 1000).Select(number => new DeviceRule
        {
            Allow = number % 3 != 0,
            Type = number % 2 == 0 ? "c" : "b",
            Major = number % 7 == 0 ? null : number,
            Minor = number,
            Access = "rwm"[(number % 3)..],
        })));
        Assert.False(program.IsInvalid);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
