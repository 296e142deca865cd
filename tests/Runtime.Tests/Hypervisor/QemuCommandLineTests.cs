using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Tests.Hypervisor;

public class QemuCommandLineTests
{
    private static readonly MachineSpec Spec = new()
    {
        Name = "s1",
        Accelerator = Accelerator.Tcg,
        Machine = MachineType.Q35,
        Vcpus = 2,
        MemoryMib = 256,
        MaxVcpus = 2,
        MaxMemoryMib = 256,
        Kernel = "/k",
        Initrd = "/i",
        Qboot = "/qboot.rom",
        KernelParameters = ["extra=1"],
        QmpDescriptor = 3,
        Vsock = new VsockSpec.VhostUser(4),
        SharedFilesDescriptor = 5,
    };

    private const string Common = "-name s1 -nodefaults -no-user-config -display none -no-reboot " +
        "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny ";

    private const string Memory = "-smp 2 -m 256M -object memory-backend-memfd,id=memory,size=256M,share=on ";

    private const string Ports = "-chardev stdio,id=console,signal=off -serial chardev:console " +
        "-chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control ";

    [Fact]
    public void TheHotPlugBusHasADeviceFromTheBeginning() => Assert.Contains(
        "-device pcie-pci-bridge,id=hot -object rng-random,id=random,filename=/dev/urandom -device virtio-rng-pci,rng=random,bus=hot,disable-legacy=on -device virtio-balloon-pci",
        Line(Spec with { HotPlug = true }), StringComparison.Ordinal);

    [Fact]
    public void EmulatedQ35WithOurOwnVsock() => Assert.Equal(
        Common + "-machine q35,smm=off,sata=off,smbus=off,hpet=off,memory-backend=memory -accel tcg,tb-size=64 -cpu max,-erms,-rdrand,-rdseed " +
        Memory + "-bios /qboot.rom -kernel /k -initrd /i -append console=ttyS0 quiet panic=-1 virtiofs.max_age=20 no_timer_check clearcpuid=rep_good noreplace-smp virtiofs.zero_pages=1 virtiofs.poll=100 tsc=nowatchdog lapic_khz=1000000 tsc_pmtimer=1 extra=1 " +
        Ports + "-object rng-random,id=random,filename=/dev/urandom -device virtio-rng-pci,rng=random -device virtio-balloon-pci,free-page-reporting=on -chardev socket,id=vsock,fd=4 -device vhost-user-vsock-pci,chardev=vsock " +
        "-chardev socket,id=shared,fd=5 -device vhost-user-fs-pci,chardev=shared,tag=katalike,queue-size=1024",
        Line(Spec));

    [Fact]
    public void Q35OnKvmWithTheKernelsVsock() => Assert.Equal(
        Common + "-machine q35,smm=off,sata=off,smbus=off,hpet=off,memory-backend=memory -accel kvm -cpu host " +
        Memory + "-kernel /k -initrd /i -append console=ttyS0 loglevel=7 panic=-1 virtiofs.max_age=20 extra=1 " +
        Ports + "-object rng-random,id=random,filename=/dev/urandom -device virtio-rng-pci,rng=random -device virtio-balloon-pci,free-page-reporting=on -device vhost-vsock-pci,guest-cid=77,vhostfd=4",
        Line(Spec with
        {
            Accelerator = Accelerator.Kvm,
            Vsock = new VsockSpec.Kernel(77, 4),
            Qboot = null,
            SharedFilesDescriptor = null,
            Debug = true,
        }));

    [Fact]
    public void AnImageInPlaceOfTheInitrdAndParametersOfABundle() => Assert.Equal(
        Common + "-machine q35,smm=off,sata=off,smbus=off,hpet=off,memory-backend=memory -accel tcg,tb-size=64 -cpu max,-erms,-rdrand,-rdseed " +
        Memory + "-bios /qboot.rom -kernel /k -append console=ttyS0 quiet panic=-1 virtiofs.max_age=20 no_timer_check clearcpuid=rep_good noreplace-smp virtiofs.zero_pages=1 virtiofs.poll=100 tsc=nowatchdog lapic_khz=1000000 tsc_pmtimer=1 root=/dev/vda rw init=/init extra=1 " +
        Ports + "-object rng-random,id=random,filename=/dev/urandom -device virtio-rng-pci,rng=random -device virtio-balloon-pci,free-page-reporting=on -chardev socket,id=vsock,fd=4 -device vhost-user-vsock-pci,chardev=vsock " +
        "-drive if=none,id=image,snapshot=on,format=vpc,file=/images/a,,b -device virtio-blk-pci,drive=image -smbios type=1",
        Line(Spec with
        {
            Initrd = null,
            Image = new Contract.Oci.VmImage { Path = "/images/a,b", Format = "vhd" },
            HypervisorParameters = ["-smbios", "type=1"],
            SharedFilesDescriptor = null,
        }));

    [Fact]
    public void EmulatedMicrovm() => Assert.Equal(
        Common + "-machine microvm,acpi=off,rtc=on,memory-backend=memory -accel tcg,tb-size=64 -cpu max,-erms,-rdrand,-rdseed " +
        Memory + "-global virtio-mmio.force-legacy=false -kernel /k -initrd /i " +
        "-append console=ttyS0 quiet panic=-1 virtiofs.max_age=20 reboot=t no_timer_check clearcpuid=rep_good noreplace-smp virtiofs.zero_pages=1 virtiofs.poll=100 tsc=nowatchdog lapic_khz=1000000 tsc_pmtimer=1 extra=1 " +
        Ports + "-object rng-random,id=random,filename=/dev/urandom -device virtio-rng-device,rng=random -device virtio-balloon-device,free-page-reporting=on -chardev socket,id=vsock,fd=4 -device vhost-user-vsock-device,chardev=vsock " +
        "-chardev socket,id=shared,fd=5 -device vhost-user-fs-device,chardev=shared,tag=katalike,queue-size=1024",
        Line(Spec with { Machine = MachineType.Microvm }));

    [Fact]
    public void MicrovmOnKvmWithTheKernelsVsock()
    {
        var line = Line(Spec with
        {
            Machine = MachineType.Microvm,
            Accelerator = Accelerator.Kvm,
            Vsock = new VsockSpec.Kernel(77, 4),
        });
        Assert.Contains("-device vhost-vsock-device,guest-cid=77,vhostfd=4", line, StringComparison.Ordinal);
        Assert.DoesNotContain("no_timer_check", line, StringComparison.Ordinal);
        Assert.DoesNotContain("tb-size", line, StringComparison.Ordinal);
    }

    [Fact]
    public void AnEmulatedMachineThatCanGrowHoldsItsProcessorsBack()
    {
        var line = Line(Spec with { Vcpus = 1, MaxVcpus = 4, MaxMemoryMib = 1100 });
        Assert.Contains("-accel tcg,tb-size=64,thread=single -cpu max,-erms,-rdrand,-rdseed -smp 4 -m 256M,slots=1,maxmem=1024M", line, StringComparison.Ordinal);
        Assert.Contains("no_timer_check clearcpuid=rep_good noreplace-smp virtiofs.zero_pages=1 virtiofs.poll=100 tsc=nowatchdog lapic_khz=1000000 tsc_pmtimer=1 maxcpus=1 ", line, StringComparison.Ordinal);
        Assert.Contains("-object memory-backend-memfd,id=more,size=768M,share=on,reserve=off " +
            "-device virtio-mem-pci,id=more,memdev=more,requested-size=0", line, StringComparison.Ordinal);
    }

    [Fact]
    public void ATemplateHasItsMemoryInAFileOfOursAndNeitherVsockNorSharedFiles() => Assert.Equal(
        Common + "-machine q35,smm=off,sata=off,smbus=off,hpet=off,memory-backend=memory -accel kvm -cpu host -smp 2 -m 256M " +
        "-object memory-backend-file,id=memory,size=256M,share=on,mem-path=/proc/self/fd/6 -bios /qboot.rom -kernel /k -initrd /i " +
        "-append console=ttyS0 quiet panic=-1 virtiofs.max_age=20 extra=1 " + Ports +
        "-device pcie-pci-bridge,id=hot -object rng-random,id=random,filename=/dev/urandom -device virtio-rng-pci,rng=random,bus=hot,disable-legacy=on -device virtio-balloon-pci,free-page-reporting=on",
        Line(Spec with { Accelerator = Accelerator.Kvm, Origin = MachineOrigin.Template, HotPlug = true, Vsock = null, SharedFilesDescriptor = null }));

    [Fact]
    public void ACopyHasNoKernelAndGetsItsDevicesOnceItIsThere()
    {
        var copy = Spec with { Origin = MachineOrigin.Copy, HotPlug = true, Vcpus = 1 };
        Assert.Equal(
            Common + "-machine q35,smm=off,sata=off,smbus=off,hpet=off,memory-backend=memory -accel tcg,tb-size=64,thread=single -cpu max,-erms,-rdrand,-rdseed -smp 2 -m 256M " +
            "-object memory-backend-file,id=memory,size=256M,share=on,mem-path=/proc/self/fd/6 -bios /qboot.rom -incoming defer -S " + Ports +
            "-device pcie-pci-bridge,id=hot -object rng-random,id=random,filename=/dev/urandom -device virtio-rng-pci,rng=random,bus=hot,disable-legacy=on -device virtio-balloon-pci,free-page-reporting=on " +
            "-chardev socket,id=vsock,fd=4 -chardev socket,id=shared,fd=5",
            Line(copy));
        Assert.DoesNotContain("vhost", Line(copy with { Vsock = new VsockSpec.Kernel(77, 4) }), StringComparison.Ordinal);
        // Processors that will run at once must each have a thread.
        Assert.Contains("-accel tcg,tb-size=64 -cpu", Line(copy with { Parallel = true }), StringComparison.Ordinal);
    }

    [Fact]
    public void OnKvmProcessorsAreReallyPluggedIn()
    {
        var line = Line(Spec with { Accelerator = Accelerator.Kvm, Vcpus = 2, MaxVcpus = 64 });
        Assert.Contains("-accel kvm -cpu host -smp 2,maxcpus=64 -m 256M -object", line, StringComparison.Ordinal);
        Assert.DoesNotContain(" maxcpus=", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("flags\t\t: fpu vme vmx sse", true, Accelerator.Kvm, false)]
    [InlineData("flags\t\t: fpu svm", true, Accelerator.Kvm, false)]
    [InlineData("flags\t\t: fpu hypervisor\nvmx flags\t: vnmi", true, Accelerator.Tcg, true)]
    [InlineData("flags\t\t: fpu vmx", false, Accelerator.Tcg, true)]
    public void KvmIsTakenWhereDeviceAndProcessorAgree(string cpuinfo, bool device, object expected, bool noted)
    {
        var chosen = ChosenAccelerator.From(AcceleratorChoice.Auto, cpuinfo, device);
        Assert.Equal((Accelerator)expected, chosen.Accelerator);
        Assert.Equal(noted, chosen.Note is not null);
    }

    [Fact]
    public void TheConfigurationForcesEither()
    {
        Assert.Equal(Accelerator.Kvm, ChosenAccelerator.From(AcceleratorChoice.Kvm, "", true).Accelerator);
        Assert.Equal(Accelerator.Tcg, ChosenAccelerator.From(AcceleratorChoice.Tcg, "flags : vmx", true).Accelerator);
        Assert.Throws<RuntimeException>(() => ChosenAccelerator.From(AcceleratorChoice.Kvm, "flags : vmx", false));
    }

    private static string Line(MachineSpec spec) => string.Join(' ', QemuCommandLine.From(spec));
}
