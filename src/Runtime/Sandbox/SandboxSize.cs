using KataLike.Contract.Oci;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Sandboxes;

/// <summary>How large a virtual machine is when it starts, and how large it can grow.</summary>
internal sealed record SandboxSize(int MemoryMib, int Vcpus)
{
    private const string PodMemory = "io.kubernetes.cri.sandbox-memory",
        PodQuota = "io.kubernetes.cri.sandbox-cpu-quota",
        PodPeriod = "io.kubernetes.cri.sandbox-cpu-period";

    private const long DefaultMaxMemoryMib = 16 << 10, DefaultPeriod = 100_000, SharesOfOne = 1024;

    /// <summary>Under emulation every processor that may come is there from the start: a mebibyte each.</summary>
    private const int MaxEmulatedVcpus = 4;

    public required int MaxMemoryMib { get; init; }
    public required int MaxVcpus { get; init; }

    /// <summary>
    /// The configured base, and the memory limit on top of it; as many processors as the quota can fill. Neither exceeds
    /// the host's. A pod's annotations, which count all of its containers, come before the limits of the first one.
    /// </summary>
    public static SandboxSize For(Spec spec, Configuration configuration, Accelerator accelerator, long hostMemoryMib, int hostProcessors)
    {
        var resources = spec.Linux?.Resources;
        var needed = Needed(configuration, [new Resources
        {
            Memory = new() { Limit = Annotation(spec, PodMemory) ?? resources?.Memory?.Limit },
            Cpu = new()
            {
                Quota = Annotation(spec, PodQuota) ?? resources?.Cpu?.Quota,
                Period = (ulong?)Annotation(spec, PodPeriod) ?? resources?.Cpu?.Period,
                Cpus = resources?.Cpu?.Cpus,
                Shares = resources?.Cpu?.Shares,
            },
        }]);
        var memory = configuration.ExactMemoryMib > 0
            ? configuration.ExactMemoryMib
            : (int)Math.Min(needed.MemoryMib, Math.Max(configuration.MemoryMib, hostMemoryMib));
        var vcpus = configuration.ExactVcpus > 0
            ? configuration.ExactVcpus
            : (int)Math.Clamp(needed.Vcpus, 1, Math.Max(hostProcessors, configuration.Vcpus));
        // Nothing grows where the bundle has chosen the size, nor on the machine type without ACPI.
        var grows = configuration.Machine == MachineType.Q35;
        var maxMemory = configuration.MaxMemoryMib > 0 ? configuration.MaxMemoryMib : Math.Min(hostMemoryMib, DefaultMaxMemoryMib);
        var maxVcpus = configuration.MaxVcpus > 0 ? configuration.MaxVcpus
            : accelerator == Accelerator.Kvm ? hostProcessors : Math.Min(hostProcessors, MaxEmulatedVcpus);
        return new SandboxSize(memory, vcpus)
        {
            MaxMemoryMib = grows && configuration.ExactMemoryMib == 0 ? (int)Math.Max(memory, maxMemory) : memory,
            MaxVcpus = grows && configuration.ExactVcpus == 0 ? Math.Max(vcpus, maxVcpus) : vcpus,
        };
    }

    /// <summary>What the limits of containers add up to: memory beyond the base, processors instead of it.</summary>
    public static (long MemoryMib, long Vcpus) Needed(Configuration configuration, IEnumerable<Resources?> containers)
    {
        long memory = configuration.MemoryMib;
        double vcpus = 0;
        foreach (var resources in containers)
        {
            if (resources?.Memory?.Limit is > 0 and var limit)
                memory = Math.Min(memory + (limit >> 20), int.MaxValue);
            vcpus += Processors(resources?.Cpu);
        }
        return (memory, Math.Max(configuration.Vcpus, (long)Math.Ceiling(Math.Min(vcpus, int.MaxValue))));
    }

    /// <summary>
    /// What its quota can fill. Without one, as with Kubernetes' static CPU manager: those that it may use, but not more than its
    /// shares ask for, where it has any. Containers that may use all those which are nobody's own have small shares.
    /// </summary>
    private static double Processors(CpuLimits? cpu)
    {
        if (cpu?.Quota is > 0 and var quota)
            return (cpu.Period ?? DefaultPeriod) is > 0 and var period ? (double)quota / period : 0;
        return NumberList.TryParse(cpu?.Cpus ?? "") is not { } named ? 0
            : Math.Min(named.Count, cpu?.Shares is > 0 and var shares ? shares / (double)SharesOfOne : int.MaxValue);
    }

    private static long? Annotation(Spec spec, string name) =>
        spec.Annotations?.TryGetValue(name, out var text) is true && long.TryParse(text, out var value) && value > 0 ? value : null;
}
