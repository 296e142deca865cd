namespace KataLike.Runtime.Hypervisor;

/// <summary>The virtual machine that is wanted. Descriptors are numbers in QEMU's own table.</summary>
internal sealed record MachineSpec
{
    public required string Name { get; init; }
    public required Accelerator Accelerator { get; init; }
    public required MachineType Machine { get; init; }
    public required int Vcpus { get; init; }
    public required int MemoryMib { get; init; }

    /// <summary>What the machine can grow to; the same as above: it does not.</summary>
    public required int MaxVcpus { get; init; }
    public required int MaxMemoryMib { get; init; }

    public required string Kernel { get; init; }
    /// <summary>Null: the image is the root file system.</summary>
    public required string? Initrd { get; init; }

    /// <summary>A disk image that the guest finds as its first virtio block device.</summary>
    public Contract.Oci.VmImage? Image { get; init; }

    /// <summary>Appended to the command line.</summary>
    public IReadOnlyList<string> HypervisorParameters { get; init; } = [];

    /// <summary>A firmware that only loads the kernel; null: QEMU's default, which takes longer.</summary>
    public string? Qboot { get; init; }

    public IReadOnlyList<string> KernelParameters { get; init; } = [];

    /// <summary>The kernel says everything on the console.</summary>
    public bool Debug { get; init; }

    public MachineOrigin Origin { get; init; } = MachineOrigin.Boot;

    /// <summary>Under emulation: processors that come online later run beside the others, which costs each 15 %.</summary>
    public bool Parallel { get; init; }

    /// <summary>Devices can come later. Costs 40 ms of CPU time under emulation.</summary>
    public bool HotPlug { get; init; }

    public required int QmpDescriptor { get; init; }

    /// <summary>Null: a template has none.</summary>
    public required VsockSpec? Vsock { get; init; }

    /// <summary>A connection to virtiofsd; null: no shared files.</summary>
    public int? SharedFilesDescriptor { get; init; }
}

/// <summary>How a machine comes to be what it is when its first container comes.</summary>
internal enum MachineOrigin
{
    /// <summary>The guest boots.</summary>
    Boot,

    /// <summary>It boots, without the devices that its copies are to get, and is then saved.</summary>
    Template,

    /// <summary>It goes on where a template was saved.</summary>
    Copy,
}

/// <summary>The guest's vsock device.</summary>
internal abstract record VsockSpec
{
    /// <summary>The host kernel's vhost-vsock; the descriptor is an open /dev/vhost-vsock.</summary>
    public sealed record Kernel(uint GuestCid, int Descriptor) : VsockSpec;

    /// <summary>A vhost-user back end at the other end of a connected socket.</summary>
    public sealed record VhostUser(int Descriptor) : VsockSpec;
}

/// <summary>The name by which the guest mounts the shared files.</summary>
internal static class SharedFiles
{
    public const string Tag = "katalike";

    /// <summary>Descriptors of a virtqueue.</summary>
    public const int QueueSize = 1024;
}
