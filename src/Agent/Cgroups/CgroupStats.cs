using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Agent.Cgroups;

/// <summary>The figures of a cgroup. A controller that the kernel lacks leaves its part empty.</summary>
internal static class CgroupStats
{
    public static StatsResponse Read(FileDescriptor cgroup) => new()
    {
        Cpu = Cpu(Table("cpu.stat", cgroup)),
        Memory = Memory(cgroup),
        Pids = new StatsResponse.Types.Pids { Current = Number("pids.current", cgroup), Max = Number("pids.max", cgroup) },
        Io = { Io(Text("io.stat", cgroup)) },
    };

    /// <summary>"key value" lines.</summary>
    public static Dictionary<string, ulong> Parse(string text)
    {
        var table = new Dictionary<string, ulong>();
        foreach (var line in text.Split('\n'))
        {
            if (line.Split(' ') is [var key, var value] && ulong.TryParse(value, out var number))
                table[key] = number;
        }
        return table;
    }

    public static Dictionary<string, ulong> Table(string file, FileDescriptor cgroup) => Parse(Text(file, cgroup));

    private static StatsResponse.Types.Cpu Cpu(Dictionary<string, ulong> stat) => new()
    {
        UsageUsec = stat.GetValueOrDefault("usage_usec"),
        UserUsec = stat.GetValueOrDefault("user_usec"),
        SystemUsec = stat.GetValueOrDefault("system_usec"),
        NrPeriods = stat.GetValueOrDefault("nr_periods"),
        NrThrottled = stat.GetValueOrDefault("nr_throttled"),
        ThrottledUsec = stat.GetValueOrDefault("throttled_usec"),
    };

    private static StatsResponse.Types.Memory Memory(FileDescriptor cgroup) => new()
    {
        Current = Number("memory.current", cgroup),
        Max = Number("memory.max", cgroup),
        SwapCurrent = Number("memory.swap.current", cgroup),
        SwapMax = Number("memory.swap.max", cgroup),
        Peak = Number("memory.peak", cgroup),
        Stat = { Table("memory.stat", cgroup) },
        Events = { Table("memory.events", cgroup) },
    };

    /// <summary>Lines such as "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0".</summary>
    public static IEnumerable<StatsResponse.Types.Io> Io(string text)
    {
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = line.Split(' ');
            if (parts[0].Split(':') is not [var major, var minor]
                || !ulong.TryParse(major, out var majorNumber) || !ulong.TryParse(minor, out var minorNumber))
                continue;
            var figures = Parse(string.Join('\n', parts.Skip(1)).Replace('=', ' '));
            yield return new StatsResponse.Types.Io
            {
                Major = majorNumber,
                Minor = minorNumber,
                Rbytes = figures.GetValueOrDefault("rbytes"),
                Wbytes = figures.GetValueOrDefault("wbytes"),
                Rios = figures.GetValueOrDefault("rios"),
                Wios = figures.GetValueOrDefault("wios"),
            };
        }
    }

    /// <summary>"max" is 2^64-1.</summary>
    private static ulong Number(string file, FileDescriptor cgroup) => Text(file, cgroup).Trim() switch
    {
        "max" => ulong.MaxValue,
        var text => ulong.TryParse(text, out var number) ? number : 0,
    };

    private static string Text(string file, FileDescriptor cgroup)
    {
        try
        {
            return KernelFiles.Read(file, cgroup);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.EOPNOTSUPP)
        {
            return "";
        }
    }
}
