using KataLike.Contract.Oci;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public class VmSectionTests
{
    private static readonly Configuration Allowing = Configuration.Parse("""
        [guest]
        kernel = "/default/kernel"
        initrd = "/default/initrd"
        kernel_parameters = ["configured"]
        [vm]
        hypervisor_paths = ["/usr/bin/qemu-system-x86_64"]
        hypervisor_parameters = ["-smbios", "type=1,*"]
        kernel_paths = ["/kernels/"]
        kernel_parameters = ["quiet", "transparent_hugepage=*"]
        initrd_paths = ["/initrds/one"]
        image_paths = ["/images/"]
        hardware = ["vcpus", "memory"]
        """, "test");

    private static readonly VmSpec Whole = new()
    {
        Hypervisor = new VmHypervisor { Path = "/usr/bin/qemu-system-x86_64", Parameters = ["-smbios", "type=1,serial=7"] },
        Kernel = new VmKernel { Path = "/kernels/a/vmlinux", Parameters = ["quiet", "transparent_hugepage=never"], Initrd = "/initrds/one" },
        Image = new VmImage { Path = "/images/root.qcow2", Format = "qcow2" },
        HwConfig = new VmHardware { Vcpus = 3, Memory = 268435456 },
    };

    [Fact]
    public void WhatIsAllowedCounts()
    {
        var chosen = VmSection.Apply(Whole, Allowing);
        Assert.Equal("/usr/bin/qemu-system-x86_64", chosen.Qemu);
        Assert.Equal(["-smbios", "type=1,serial=7"], chosen.HypervisorParameters);
        Assert.Equal(("/kernels/a/vmlinux", "/initrds/one"), (chosen.Kernel, chosen.Initrd));
        Assert.Equal(["configured", "quiet", "transparent_hugepage=never"], chosen.KernelParameters);
        Assert.Equal(("/images/root.qcow2", false), (chosen.Image!.Path, chosen.ImageIsRoot));
        var size = SandboxSize.For(Spec.Default(), chosen, Accelerator.Tcg, 1024, 2);
        Assert.Equal((256, 3, 256, 3), (size.MemoryMib, size.Vcpus, size.MaxMemoryMib, size.MaxVcpus));
    }

    [Fact]
    public void WhatIsNotSaidIsTheConfigurations()
    {
        Assert.Same(Allowing, VmSection.Apply(null, Allowing));
        var chosen = VmSection.Apply(new VmSpec { Kernel = new VmKernel { Path = "/kernels/k" }, Image = Whole.Image }, Allowing);
        Assert.Equal(("/kernels/k", "/default/initrd", true, null), (chosen.Kernel, chosen.Initrd, chosen.ImageIsRoot, chosen.Qemu));
    }

    public static TheoryData<string, string> Refused => new()
    {
        { """{"hypervisor": {"path": "/usr/bin/other"}}""", "$.vm.hypervisor.path: /usr/bin/other is not allowed: add it to hypervisor_paths" },
        { """{"hypervisor": {"path": "qemu"}}""", "$.vm.hypervisor.path: qemu must be an absolute path" },
        { """{"hypervisor": {"parameters": ["-smbios", "-drive"]}}""", "$.vm.hypervisor.parameters[1]: -drive is not allowed: add it to hypervisor_parameters" },
        { """{"kernel": {"path": "/kernels/../etc/shadow"}}""", "$.vm.kernel.path: /kernels/../etc/shadow must be an absolute path without . and .." },
        { """{"kernel": {"path": "/kernels"}}""", "$.vm.kernel.path: /kernels is not allowed: add it to kernel_paths" },
        { """{"kernel": {"path": "/kernels/k", "initrd": "/initrds/one2"}}""", "$.vm.kernel.initrd: /initrds/one2 is not allowed: add it to initrd_paths" },
        { """{"kernel": {"path": "/kernels/k", "parameters": ["quiet2"]}}""", "$.vm.kernel.parameters[0]: quiet2 is not allowed: add it to kernel_parameters" },
        { """{"kernel": {"path": "/kernels/k", "parameters": ["transparent_hugepage=x init=/bin/sh"]}}""", "must not contain blanks" },
        { """{"image": {"path": "/other/i", "format": "raw"}}""", "$.vm.image.path: /other/i is not allowed: add it to image_paths" },
        { """{"image": {"path": "/images/i", "format": "iso"}}""", "$.vm.image.format: unknown value iso" },
        { """{"hwConfig": {"deviceTree": "/dt"}}""", "$.vm.hwConfig.deviceTree: is not supported" },
        { """{"hwConfig": {"irqs": [1]}}""", "$.vm.hwConfig.irqs: is not supported" },
        { """{"hwConfig": {"vcpus": 0}}""", "$.vm.hwConfig.vcpus: 0 must be 1 to 255" },
        { """{"hwConfig": {"memory": 1048576}}""", "$.vm.hwConfig.memory: 1048576 bytes are less than 128 MiB" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void WhatIsNotAllowedIsRefusedWithTheKeyToSet(string vm, string message) =>
        Assert.Contains(message, Assert.Throws<OciException>(() => VmSection.Apply(Parse(vm), Allowing)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("""{"hypervisor": {"path": "/q"}}""", "hypervisor_paths")]
    [InlineData("""{"hypervisor": {"parameters": ["-x"]}}""", "hypervisor_parameters")]
    [InlineData("""{"kernel": {"path": "/k"}}""", "kernel_paths")]
    [InlineData("""{"image": {"path": "/i", "format": "raw"}}""", "image_paths")]
    [InlineData("""{"hwConfig": {"vcpus": 1}}""", "hardware")]
    [InlineData("""{"hwConfig": {"memory": 1073741824}}""", "hardware")]
    public void NothingIsAllowedByDefault(string vm, string key) => Assert.EndsWith(
        $"is not allowed: add it to {key} in section [vm] of /etc/katalike/config.toml",
        Assert.Throws<OciException>(() => VmSection.Apply(Parse(vm), new Configuration())).Message, StringComparison.Ordinal);

    private static VmSpec Parse(string vm) => Spec.Parse(System.Text.Encoding.UTF8.GetBytes(
        """{"ociVersion": "1.3.0", "process": {"cwd": "/", "args": ["true"]}, "root": {"path": "r"}, "vm": GIVEN}""".Replace("GIVEN", vm, StringComparison.Ordinal))).Vm!;
}
