namespace KataLike.Runtime.Hypervisor;

/// <summary>QEMU's arguments for a machine. Pure: what is chosen here is what was measured fastest and smallest.</summary>
/// <remarks>The console is QEMU's standard output: nothing but bytes in our direction, and no path.</remarks>
internal static class QemuCommandLine
{
    /// <summary>The device that gives and takes memory while the machine runs.</summary>
    public const string MemoryDevice = "/machine/peripheral/more";

    /// <summary>What it is made of: a multiple of the pieces in which Linux takes memory, MiB.</summary>
    private const int MemoryBlockMib = 128;

    public static IReadOnlyList<string> From(MachineSpec spec) =>
    [
        "-name", spec.Name,
        "-nodefaults", "-no-user-config", "-display", "none",
        // The guest's panic and its reboot both end the machine.
        "-no-reboot",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine", Machine(spec),
        "-accel", AcceleratorOf(spec),
        // Emulation only: random numbers of QEMU's own generator, whose state copies of its process share (decision 22), are for no guest.
        "-cpu", spec.Accelerator == Accelerator.Kvm ? "host" : "max,-erms,-rdrand,-rdseed",
        "-smp", Processors(spec),
        "-m", MemoryToComeMib(spec.MemoryMib, spec.MaxMemoryMib) is > 0 and var more
            ? $"{spec.MemoryMib}M,slots=1,maxmem={spec.MemoryMib + more}M" : $"{spec.MemoryMib}M",
        "-object", Memory(spec),
        .. Firmware(spec),
        .. Guest(spec),
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-chardev", $"socket,id=qmp,fd={spec.QmpDescriptor}", "-mon", "chardev=qmp,mode=control",
        .. HotPlugBus(spec),
        // What the guest frees goes back to the host.
        "-device", Device(spec, "virtio-balloon", ",free-page-reporting=on"),
        .. MemoryToCome(spec),
        .. Vsock(spec),
        .. SharedFileSystem(spec),
        .. Image(spec),
        .. spec.HypervisorParameters,
    ];

    // Shared, because vhost-user back ends read and write it.
    private static string Memory(MachineSpec spec) => spec.Origin == MachineOrigin.Boot
        ? $"memory-backend-memfd,id=memory,size={spec.MemoryMib}M,share=on"
        : $"memory-backend-file,id=memory,size={spec.MemoryMib}M,share=on,mem-path=/proc/self/fd/{VirtualMachine.MemoryNumber}";

    // The kernel is in a copy's memory.
    private static IEnumerable<string> Guest(MachineSpec spec) => spec.Origin == MachineOrigin.Copy
        ? ["-incoming", "defer", "-S"]
        :
        [
            "-kernel", spec.Kernel,
            .. spec.Initrd is { } initrd ? (string[])["-initrd", initrd] : [],
            "-append", string.Join(' ', KernelCommandLine(spec)),
        ];

    private static string Machine(MachineSpec spec) => spec.Machine switch
    {
        // ACPI hangs microvm in the calibration of the clock under emulation, and nothing there needs it.
        MachineType.Microvm => "microvm,acpi=off,rtc=on,memory-backend=memory",
        _ => "q35,smm=off,sata=off,smbus=off,hpet=off,memory-backend=memory",
    };

    // Emulation only: the default translation cache is 1 GiB, and what fills it is resident memory. When it is full all that was
    // translated is thrown away, and translated again. A saved process brings 34 MiB along, and a boot with its first exec needs as much.
    // Processors that wait to come online make every instruction of the others dearer (15 %), unless all share a thread.
    private static string AcceleratorOf(MachineSpec spec) => spec switch
    {
        { Accelerator: Accelerator.Kvm } => "kvm",
        { Vcpus: 1, MaxVcpus: > 1, Parallel: false } => "tcg,tb-size=64,thread=single",
        _ => "tcg,tb-size=64",
    };

    // Linux takes a processor later only from a hypervisor that it knows, which emulation is not: there all are present
    // from the start, and KernelCommandLine keeps those back that are not wanted yet.
    private static string Processors(MachineSpec spec) => spec switch
    {
        { Accelerator: Accelerator.Tcg } => $"{spec.MaxVcpus}",
        _ when spec.MaxVcpus > spec.Vcpus => $"{spec.Vcpus},maxcpus={spec.MaxVcpus}",
        _ => $"{spec.Vcpus}",
    };

    /// <summary>How much memory can come on top, MiB.</summary>
    public static int MemoryToComeMib(int memoryMib, int maxMemoryMib) => (maxMemoryMib - memoryMib) / MemoryBlockMib * MemoryBlockMib;

    private static IEnumerable<string> MemoryToCome(MachineSpec spec) => MemoryToComeMib(spec.MemoryMib, spec.MaxMemoryMib) is > 0 and var size
        ?
        [
            "-object", $"memory-backend-memfd,id=more,size={size}M,share=on,reserve=off",
            "-device", "virtio-mem-pci,id=more,memdev=more,requested-size=0",
        ]
        : [];

    private static IEnumerable<string> Firmware(MachineSpec spec) => spec switch
    {
        { Machine: MachineType.Microvm } => ["-global", "virtio-mmio.force-legacy=false"],
        { Qboot: { } qboot } => ["-bios", qboot],
        _ => [],
    };

    private static IEnumerable<string> KernelCommandLine(MachineSpec spec)
    {
        yield return "console=ttyS0";
        yield return spec.Debug ? "loglevel=7" : "quiet";
        yield return "panic=-1";
        // Milliseconds (decision 15). A kernel that does not know it does what virtiofsd says, as with "cache=auto".
        yield return "virtiofs.max_age=20";
        if (spec.Machine == MachineType.Microvm)
            yield return "reboot=t";
        if (spec.Accelerator == Accelerator.Tcg)
        {
            // Emulation only: on a busy host the kernel's check of the timer fails, and it panics.
            yield return "no_timer_check";
            // Emulation only, as -erms is for programs: an emulated "rep movs" takes a turn of QEMU's loop for each byte or word, and
            // plain loops copy and clear memory three times as fast.
            yield return "clearcpuid=rep_good";
            // Emulation only: a kernel with one processor takes the lock prefixes out of its code, one by one, at 8,000 places, and
            // to emulate one costs nothing as long as all processors share a thread. Each place empties QEMU's TLB twice.
            yield return "noreplace-smp";
            // Emulation only: QEMU does not see what virtiofsd writes into a page, and would run what it has translated of the page's
            // former content; when the processor clears the page before, it forgets that.
            yield return "virtiofs.zero_pages=1";
            // Emulation only, in microseconds: it takes QEMU longer to wake a processor that waits for virtiofsd, and to tell it why, than virtiofsd
            // to answer (decision 23).
            yield return "virtiofs.poll=100";
            // Emulation only: comparing the clock with a slower one wakes an idle machine twice a second. KVM has a clock of its own.
            yield return "tsc=nowatchdog";
            // Emulation only: what the kernel would measure by clocks that it has to watch, for 0.2 s. The local APIC of QEMU counts nanoseconds.
            yield return "lapic_khz=1000000";
            yield return "tsc_pmtimer=1";
        }
        if (spec.Accelerator == Accelerator.Tcg && spec.MaxVcpus > spec.Vcpus)
            yield return $"maxcpus={spec.Vcpus}";
        if (spec.Initrd is null)
        {
            yield return "root=/dev/vda";
            yield return "rw";
            yield return "init=/init";
        }
        foreach (var parameter in spec.KernelParameters)
            yield return parameter;
    }

    // One conventional bus for all: 31 slots. A device that is there from the beginning makes the guest give the bus memory
    // of its address space, in which there is room for those that come.
    private static string[] HotPlugBus(MachineSpec spec) => spec.HotPlug
        ? ["-device", $"pcie-pci-bridge,id={HotPlug.Bus}", .. Random(spec, $",bus={HotPlug.Bus},disable-legacy=on")]
        : Random(spec);

    // The host kernel's numbers.
    private static string[] Random(MachineSpec spec, string properties = "") =>
        ["-object", "rng-random,id=random,filename=/dev/urandom", "-device", Device(spec, "virtio-rng", $",rng=random{properties}")];

    // A copy's devices are plugged in once it is there: QEMU saves no machine that has any of them.
    private static IEnumerable<string> Vsock(MachineSpec spec) => spec.Vsock switch
    {
        null => [],
        VsockSpec.Kernel when spec.Origin == MachineOrigin.Copy => [],
        VsockSpec.VhostUser vsock when spec.Origin == MachineOrigin.Copy => ["-chardev", $"socket,id=vsock,fd={vsock.Descriptor}"],
        VsockSpec.Kernel vsock =>
            ["-device", Device(spec, "vhost-vsock", $",guest-cid={vsock.GuestCid},vhostfd={vsock.Descriptor}")],
        VsockSpec.VhostUser vsock =>
        [
            "-chardev", $"socket,id=vsock,fd={vsock.Descriptor}",
            "-device", Device(spec, "vhost-user-vsock", ",chardev=vsock"),
        ],
        _ => throw new ArgumentOutOfRangeException(nameof(spec)),
    };

    private static IEnumerable<string> SharedFileSystem(MachineSpec spec) => spec.SharedFilesDescriptor is not { } descriptor
        ? []
        :
        [
            "-chardev", $"socket,id=shared,fd={descriptor}",
            .. spec.Origin == MachineOrigin.Copy
                ? (string[])[] : ["-device", Device(spec, "vhost-user-fs", $",chardev=shared,tag={SharedFiles.Tag},queue-size={SharedFiles.QueueSize}")],
        ];

    // The guest may write to it, and what it writes is forgotten: many machines may have one image.
    private static IEnumerable<string> Image(MachineSpec spec) => spec.Image is not { } image
        ? []
        :
        [
            "-drive", $"if=none,id=image,snapshot=on,format={(image.Format == "vhd" ? "vpc" : image.Format)},file={image.Path.Replace(",", ",,", StringComparison.Ordinal)}",
            "-device", Device(spec, "virtio-blk", ",drive=image"),
        ];

    private static string Device(MachineSpec spec, string name, string properties = "") =>
        $"{name}-{(spec.Machine == MachineType.Microvm ? "device" : "pci")}{properties}";
}
