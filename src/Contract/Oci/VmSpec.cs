using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>config-vm.md.</summary>
public sealed record VmSpec
{
    public VmHypervisor? Hypervisor { get; init; }

    public VmKernel? Kernel { get; init; }

    public VmImage? Image { get; init; }

    public VmHardware? HwConfig { get; init; }
}

/// <summary>config-vm.md, "Hypervisor Object". Paths are the host's.</summary>
public sealed record VmHypervisor
{
    public string? Path { get; init; }

    public IReadOnlyList<string>? Parameters { get; init; }
}

/// <summary>config-vm.md, "Kernel Object".</summary>
public sealed record VmKernel
{
    public required string Path { get; init; }

    public IReadOnlyList<string>? Parameters { get; init; }

    public string? Initrd { get; init; }
}

/// <summary>config-vm.md, "Image Object".</summary>
public sealed record VmImage
{
    public required string Path { get; init; }

    /// <summary>"raw", "qcow2", "vdi", "vmdk" or "vhd".</summary>
    public required string Format { get; init; }
}

/// <summary>config-vm.md, "Hardware configuration Object".</summary>
public sealed record VmHardware
{
    public string? DeviceTree { get; init; }

    public uint? Vcpus { get; init; }

    /// <summary>Bytes.</summary>
    public ulong? Memory { get; init; }

    public IReadOnlyList<string>? Dtdevs { get; init; }

    public IReadOnlyList<VmIoMemory>? Iomems { get; init; }

    public IReadOnlyList<uint>? Irqs { get; init; }
}

/// <summary>Page frames of the host that the machine sees.</summary>
public sealed record VmIoMemory
{
    [JsonPropertyName("firstGFN")]
    public ulong? FirstGfn { get; init; }

    [JsonPropertyName("firstMFN")]
    public ulong? FirstMfn { get; init; }

    [JsonPropertyName("nrMFNs")]
    public ulong? NrMfns { get; init; }
}
