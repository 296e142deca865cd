using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>How large a virtual machine must be for the container, or the pod, that it is made for.</summary>
internal readonly record struct SandboxSize(int MemoryMib, int Vcpus)
{
    private const string PodMemory = "io.kubernetes.cri.sandbox-memory",
        PodQuota = "io.kubernetes.cri.sandbox-cpu-quota",
        PodPeriod = "io.kubernetes.cri.sandbox-cpu-period";

    /// <summary>
    /// The configured base, and the memory limit on top of it; as many processors as the quota can fill. Neither exceeds
    /// the host's. A pod's annotations, which count all of its containers, come before the limits of the first one.
    /// </summary>
    public static SandboxSize For(Spec spec, Configuration configuration, long hostMemoryMib, int hostProcessors)
    {
        var resources = spec.Linux?.Resources;
        var limit = Annotation(spec, PodMemory) ?? resources?.Memory?.Limit;
        var quota = Annotation(spec, PodQuota) ?? resources?.Cpu?.Quota;
        var period = Annotation(spec, PodPeriod) ?? (long?)resources?.Cpu?.Period ?? 100_000;

        long memory = configuration.MemoryMib;
        if (limit > 0)
            memory += Math.Min(limit.Value >> 20, hostMemoryMib);
        var most = Math.Max(configuration.MemoryMib, hostMemoryMib);
        long processors = configuration.Vcpus;
        if (quota > 0 && period > 0)
            processors = Math.Max(processors, quota.Value / period + (quota.Value % period == 0 ? 0 : 1));
        return new SandboxSize(
            configuration.ExactMemoryMib > 0 ? configuration.ExactMemoryMib : (int)Math.Min(memory, most),
            configuration.ExactVcpus > 0 ? configuration.ExactVcpus : (int)Math.Clamp(processors, 1, Math.Max(hostProcessors, configuration.Vcpus)));
    }

    private static long? Annotation(Spec spec, string name) =>
        spec.Annotations?.TryGetValue(name, out var text) is true && long.TryParse(text, out var value) && value > 0 ? value : null;
}
