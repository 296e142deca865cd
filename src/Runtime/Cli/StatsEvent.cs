using System.Text;
using System.Text.Json;
using KataLike.Contract.Agent;

namespace KataLike.Runtime.Cli;

/// <summary>A container's figures in the JSON of runc's events, as runc fills it from cgroup v2: zero fields are left out where runc does.</summary>
internal static class StatsEvent
{
    private const ulong NanosecondsPerMicrosecond = 1000;

    public static string Format(string id, StatsResponse stats)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("type", "stats");
            json.WriteString("id", id);
            json.WriteStartObject("data");
            Cpu(json, stats.Cpu ?? new());
            CpuSet(json);
            Memory(json, stats.Memory ?? new());
            json.WriteStartObject("pids");
            Count(json, "current", stats.Pids?.Current ?? 0);
            // No limit is written as 0, and 0 is left out.
            Count(json, "limit", stats.Pids is { Max: not ulong.MaxValue and var limit } ? limit : 0);
            json.WriteEndObject();
            Io(json, stats.Io);
            Empty(json, "hugetlb");
            Empty(json, "intel_rdt");
            json.WriteNull("network_interfaces");
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(bytes.ToArray());
    }

    private static void Cpu(Utf8JsonWriter json, StatsResponse.Types.Cpu cpu)
    {
        json.WriteStartObject("cpu");
        json.WriteStartObject("usage");
        Count(json, "total", cpu.UsageUsec * NanosecondsPerMicrosecond);
        json.WriteNumber("kernel", cpu.SystemUsec * NanosecondsPerMicrosecond);
        json.WriteNumber("user", cpu.UserUsec * NanosecondsPerMicrosecond);
        json.WriteEndObject();
        json.WriteStartObject("throttling");
        Count(json, "periods", cpu.NrPeriods);
        Count(json, "throttledPeriods", cpu.NrThrottled);
        Count(json, "throttledTime", cpu.ThrottledUsec * NanosecondsPerMicrosecond);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>Figures of cgroup v1, which has files for them.</summary>
    private static void CpuSet(Utf8JsonWriter json)
    {
        json.WriteStartObject("cpuset");
        foreach (var name in (string[])
            [
                "cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page", "memory_spread_slab",
                "memory_pressure", "sched_load_balance", "sched_relax_domain_level",
            ])
        {
            json.WriteNumber(name, 0);
        }
        json.WriteEndObject();
    }

    private static void Memory(Utf8JsonWriter json, StatsResponse.Types.Memory memory)
    {
        json.WriteStartObject("memory");
        Count(json, "cache", memory.Stat.TryGetValue("file", out var cache) ? cache : 0);
        Entry(json, "usage", memory.Max, memory.Current, memory.Peak, memory.Events.TryGetValue("max", out var failures) ? failures : 0);
        // As in cgroup v1, swap counts memory too.
        Entry(json, "swap", Sum(memory.Max, memory.SwapMax), memory.Current + memory.SwapCurrent, 0, 0);
        Entry(json, "kernel", 0, 0, 0, 0);
        Entry(json, "kernelTCP", 0, 0, 0, 0);
        json.WriteStartObject("raw");
        foreach (var (name, value) in memory.Stat.OrderBy(line => line.Key, StringComparer.Ordinal))
            json.WriteNumber(name, value);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static ulong Sum(ulong first, ulong second) => second > ulong.MaxValue - first ? ulong.MaxValue : first + second;

    private static void Entry(Utf8JsonWriter json, string name, ulong limit, ulong usage, ulong most, ulong failures)
    {
        json.WriteStartObject(name);
        json.WriteNumber("limit", limit);
        Count(json, "usage", usage);
        Count(json, "max", most);
        json.WriteNumber("failcnt", failures);
        json.WriteEndObject();
    }

    private static void Io(Utf8JsonWriter json, IReadOnlyCollection<StatsResponse.Types.Io> devices)
    {
        json.WriteStartObject("blkio");
        if (devices.Count > 0)
        {
            Operations(json, "ioServiceBytesRecursive", devices, io => (io.Rbytes, io.Wbytes));
            Operations(json, "ioServicedRecursive", devices, io => (io.Rios, io.Wios));
        }
        json.WriteEndObject();
    }

    private static void Operations(
        Utf8JsonWriter json, string name, IReadOnlyCollection<StatsResponse.Types.Io> devices,
        Func<StatsResponse.Types.Io, (ulong Read, ulong Write)> figures)
    {
        json.WriteStartArray(name);
        foreach (var device in devices)
        {
            var (read, write) = figures(device);
            foreach (var (operation, value) in (ReadOnlySpan<(string, ulong)>)[("Read", read), ("Write", write)])
            {
                json.WriteStartObject();
                Count(json, "major", device.Major);
                Count(json, "minor", device.Minor);
                json.WriteString("op", operation);
                Count(json, "value", value);
                json.WriteEndObject();
            }
        }
        json.WriteEndArray();
    }

    /// <summary>omitempty.</summary>
    private static void Count(Utf8JsonWriter json, string name, ulong value)
    {
        if (value != 0)
            json.WriteNumber(name, value);
    }

    private static void Empty(Utf8JsonWriter json, string name)
    {
        json.WriteStartObject(name);
        json.WriteEndObject();
    }
}
