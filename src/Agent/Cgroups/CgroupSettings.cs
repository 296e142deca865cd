using System.Globalization;
using KataLike.Agent.Containers;
using KataLike.Contract.Oci;

namespace KataLike.Agent.Cgroups;

/// <summary>A value for a file of cgroup v2.</summary>
/// <param name="Optional">Where the file is missing there is nothing to limit.</param>
/// <param name="IsUnified">Named by the document itself.</param>
/// <param name="IsCpuset">A list of processors or memory nodes, which may be the host's.</param>
internal readonly record struct CgroupSetting(string File, string Value, bool Optional = false, bool IsUnified = false, bool IsCpuset = false);

/// <summary>linux.resources, whose terms are those of cgroup v1, as settings of cgroup v2; converted as runc does.</summary>
internal static class CgroupSettings
{
    private const ulong DefaultPeriod = 100_000;

    /// <exception cref="ContainerException">Limits that contradict each other.</exception>
    public static IReadOnlyList<CgroupSetting> From(Resources? resources) => resources is null ? [] :
    [
        .. Cpu(resources.Cpu),
        .. Memory(resources.Memory),
        .. Pids(resources.Pids),
        .. BlockIo(resources.BlockIo),
        .. (resources.HugepageLimits ?? []).SelectMany(Hugepages),
        .. (resources.Rdma ?? new Dictionary<string, RdmaLimits>()).Select(Rdma),
        .. (resources.Unified ?? new Dictionary<string, string>()).SelectMany(Unified),
    ];

    private static IEnumerable<CgroupSetting> Cpu(CpuLimits? cpu)
    {
        if (cpu?.Idle is { } idle)
            yield return new("cpu.idle", Text(idle));
        if (cpu?.Shares is { } shares and not 0)
            yield return new("cpu.weight", Text(WeightOfShares(shares)));
        if (cpu?.Burst is { } burst)
            yield return new("cpu.max.burst", Text(burst));
        if (cpu?.Quota is not (null or 0) || cpu?.Period is not (null or 0))
        {
            var quota = cpu.Quota > 0 ? Text(cpu.Quota.Value) : "max";
            yield return new("cpu.max", $"{quota} {Text(cpu.Period is null or 0 ? DefaultPeriod : cpu.Period.Value)}");
        }
        if (cpu?.Cpus is { Length: > 0 } cpus)
            yield return new("cpuset.cpus", cpus, IsCpuset: true);
        if (cpu?.Mems is { Length: > 0 } mems)
            yield return new("cpuset.mems", mems, IsCpuset: true);
    }

    /// <summary>2 to 262144 becomes 1 to 10000.</summary>
    private static ulong WeightOfShares(ulong shares) => 1 + (Math.Clamp(shares, 2, 262144) - 2) * 9999 / 262142;

    private static IEnumerable<CgroupSetting> Memory(MemoryLimits? memory)
    {
        var (limit, swap) = (memory?.Limit ?? 0, memory?.Swap ?? 0);
        if (limit == -1 && swap == 0)
            swap = -1;
        if (swap > 0 && limit <= 0)
            throw new ContainerException("linux.resources.memory.swap: needs memory.limit, for it counts memory and swap together");
        if (swap > 0 && swap < limit)
            throw new ContainerException($"linux.resources.memory.swap: {swap} is less than memory.limit {limit}");
        // First swap: lowering memory.max may have to swap out.
        if (swap != 0)
            yield return new("memory.swap.max", swap < 0 ? "max" : Text(swap - limit), Optional: true);
        if (limit != 0)
            yield return new("memory.max", Limit(limit));
        if (memory?.Reservation is { } reservation and not 0)
            yield return new("memory.low", Limit(reservation));
    }

    private static IEnumerable<CgroupSetting> Pids(PidsLimits? pids)
    {
        if (pids is not null && pids.Limit != 0)
            yield return new("pids.max", Limit(pids.Limit));
    }

    private static IEnumerable<CgroupSetting> BlockIo(BlockIoLimits? io)
    {
        if (io?.Weight is { } weight and not 0)
            yield return new("io.weight", $"default {Text(WeightOfBlockWeight(weight))}");
        foreach (var device in io?.WeightDevice ?? [])
        {
            if (device.Weight is { } own and not 0)
                yield return new("io.weight", $"{device.Major}:{device.Minor} {Text(WeightOfBlockWeight(own))}");
        }
        (IReadOnlyList<ThrottleDevice>? Devices, string Key)[] throttles =
        [
            (io?.ThrottleReadBpsDevice, "rbps"), (io?.ThrottleWriteBpsDevice, "wbps"),
            (io?.ThrottleReadIopsDevice, "riops"), (io?.ThrottleWriteIopsDevice, "wiops"),
        ];
        foreach (var (devices, key) in throttles)
        {
            foreach (var device in devices ?? [])
                yield return new("io.max", $"{device.Major}:{device.Minor} {key}={(device.Rate == 0 ? "max" : Text(device.Rate))}");
        }
    }

    /// <summary>10 to 1000 becomes 1 to 10000.</summary>
    private static ulong WeightOfBlockWeight(ushort weight) => 1 + (Math.Clamp(weight, (ushort)10, (ushort)1000) - 10UL) * 9999 / 990;

    /// <summary>What is used, and what is promised by mmap(2), which kernels before 5.7 did not limit.</summary>
    private static IEnumerable<CgroupSetting> Hugepages(HugepageLimit limit) =>
    [
        new($"hugetlb.{limit.PageSize}.max", Text(limit.Limit)),
        new($"hugetlb.{limit.PageSize}.rsvd.max", Text(limit.Limit), Optional: true),
    ];

    private static CgroupSetting Rdma(KeyValuePair<string, RdmaLimits> entry)
    {
        var (handles, objects) = (entry.Value.HcaHandles, entry.Value.HcaObjects);
        return new("rdma.max", $"{entry.Key} hca_handle={(handles is null ? "max" : Text(handles.Value))} hca_object={(objects is null ? "max" : Text(objects.Value))}");
    }

    /// <summary>Files with several keys take a line at a time.</summary>
    private static IEnumerable<CgroupSetting> Unified(KeyValuePair<string, string> entry) =>
        entry.Value.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => new CgroupSetting(entry.Key, line, IsUnified: true));

    private static string Limit(long value) => value < 0 ? "max" : Text(value);

    private static string Text<T>(T number) where T : IFormattable => number.ToString(null, CultureInfo.InvariantCulture);
}
