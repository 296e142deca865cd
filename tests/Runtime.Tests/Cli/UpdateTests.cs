using System.Text;
using KataLike.Runtime.Cli;
using KataLike.Runtime.Cli.Commands;

namespace KataLike.Runtime.Tests.Cli;

public sealed class UpdateTests
{
    [Theory]
    [InlineData("--memory 64m", """{"memory":{"limit":67108864},"cpu":{}}""")]
    [InlineData("--memory 1.5GiB --memory-swap=-1 --memory-reservation 1048576", """{"memory":{"limit":1610612736,"reservation":1048576,"swap":-1},"cpu":{}}""")]
    [InlineData("--cpu-quota=-1 --cpu-period 50000 --cpu-share 512 --cpu-burst 7", """{"memory":{},"cpu":{"shares":512,"quota":-1,"burst":7,"period":50000}}""")]
    [InlineData("--cpuset-cpus 0-1 --cpuset-mems 0 --cpu-idle 1", """{"memory":{},"cpu":{"cpus":"0-1","mems":"0","idle":1}}""")]
    [InlineData("--pids-limit 10 --blkio-weight 100", """{"memory":{},"cpu":{},"pids":{"limit":10},"blockIO":{"weight":100}}""")]
    public void Flags_become_resources(string line, string json) =>
        Assert.Equal(json, Encoding.UTF8.GetString(UpdateCommand.From(Parse(line)).ToUtf8Json()));

    [Theory]
    [InlineData("--memory xx", "invalid value for memory: invalid size: 'xx'")]
    [InlineData("--memory -2", "invalid value for memory: invalid size: '-2'")]
    [InlineData("--memory 1e9", "invalid value for memory: invalid size: '1e9'")]
    [InlineData("--memory 99999999p", "invalid value for memory: invalid size: '99999999p'")]
    [InlineData("--cpu-period xx", "invalid value for cpu-period: strconv.ParseUint: parsing \"xx\": invalid syntax")]
    [InlineData("--cpu-quota 1.5", "invalid value for cpu-quota: strconv.ParseInt: parsing \"1.5\": invalid syntax")]
    [InlineData("--l3-cache-schema L3:0=f", "Intel RDT is not supported: there is none in a virtual machine")]
    [InlineData("--resources /no/such/file", "/no/such/file: Could not find a part of the path '/no/such/file'.")]
    public void Refusals_are_in_runcs_words(string line, string message) =>
        Assert.Equal(message, Assert.Throws<RuntimeException>(() => UpdateCommand.From(Parse(line))).Message);

    [Theory]
    [InlineData("5s", 5000)]
    [InlineData("0", 0)]
    [InlineData("1m30.5s", 90500)]
    [InlineData("500ms", 500)]
    [InlineData("-1s", -1000)]
    [InlineData("5", null)]
    [InlineData("s", null)]
    [InlineData("", null)]
    [InlineData("99999999999999h", null)]
    public void Durations_are_Gos(string text, int? milliseconds) => Assert.Equal(milliseconds, (int?)GoDuration.Parse(text)?.TotalMilliseconds);

    [Fact]
    public void Figures_are_in_the_shape_of_runcs_events()
    {
        var stats = new Contract.Agent.StatsResponse
        {
            Cpu = new() { UsageUsec = 3, UserUsec = 2, SystemUsec = 1, NrPeriods = 4 },
            Memory = new() { Current = 10, Max = ulong.MaxValue, Peak = 12, Stat = { ["file"] = 5, ["anon"] = 1 }, Events = { ["max"] = 6 } },
            Pids = new() { Current = 1, Max = ulong.MaxValue },
            Io = { new Contract.Agent.StatsResponse.Types.Io { Major = 8, Rbytes = 4096, Rios = 1 } },
        };
        Assert.Equal("""
            {"type":"stats","id":"c1","data":{"cpu":{"usage":{"total":3000,"kernel":1000,"user":2000},"throttling":{"periods":4}},
            "cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},
            "memory":{"cache":5,"usage":{"limit":18446744073709551615,"usage":10,"max":12,"failcnt":6},"swap":{"limit":18446744073709551615,"usage":10,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":1,"file":5}},
            "pids":{"current":1},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":4096},{"major":8,"op":"Write"}],"ioServicedRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write"}]},
            "hugetlb":{},"intel_rdt":{},"network_interfaces":null}}
            """.ReplaceLineEndings(""),
            StatsEvent.Format("c1", stats));
    }

    private static Options Parse(string line) => OptionParser.Parse(UpdateCommand.Command.Flags, [.. line.Split(' '), "c1"], optionsAnywhere: true);
}
