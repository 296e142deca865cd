namespace KataLike.Runtime.Tests;

public class ConfigurationTests
{
    [Fact]
    public void EveryKeyIsRead()
    {
        var read = Configuration.Parse("""
            # a comment
            [hypervisor]
            accelerator = "tcg"   # and another
            machine = 'microvm'
            memory_mib = 1024
            vcpus = 2
            qemu = "/opt/q\"emu"
            virtiofsd = "/opt/virtiofsd"

            [guest]
            kernel = "/k"
            initrd = "/i"
            kernel_parameters = ["a=1", 'b # c',]

            [sandbox]
            boot_timeout_seconds = 7
            debug = true

            [vm]
            hypervisor_paths = ["/qemu"]
            hypervisor_parameters = ["-smbios"]
            kernel_paths = ["/kernels/"]
            kernel_parameters = ["quiet"]
            initrd_paths = ["/initrd"]
            image_paths = ["/images/"]
            hardware = ["vcpus"]
            """, "test");

        Assert.Equivalent(
            new Configuration
            {
                Accelerator = AcceleratorChoice.Tcg,
                Machine = MachineType.Microvm,
                MemoryMib = 1024,
                Vcpus = 2,
                Qemu = "/opt/q\"emu",
                Virtiofsd = "/opt/virtiofsd",
                Kernel = "/k",
                Initrd = "/i",
                KernelParameters = ["a=1", "b # c"],
                BootTimeoutSeconds = 7,
                Vm = new VmAllowance
                {
                    HypervisorPaths = ["/qemu"],
                    HypervisorParameters = ["-smbios"],
                    KernelPaths = ["/kernels/"],
                    KernelParameters = ["quiet"],
                    InitrdPaths = ["/initrd"],
                    ImagePaths = ["/images/"],
                    Hardware = ["vcpus"],
                },
                Debug = true,
            }, read, strict: true);
    }

    [Theory]
    [InlineData("[hypervisor]\nmemory = 1", 2, "unknown key memory in section [hypervisor]: did you mean memory_mib?")]
    [InlineData("debug = true", 1, "unknown key debug in section []: did you mean debug in section [sandbox]?")]
    [InlineData("[sandbox]\nkernel = \"/k\"", 2, "unknown key kernel in section [sandbox]: did you mean kernel in section [guest]?")]
    [InlineData("[annotations]\nallowed = [\"vcpu\"]", 2, "unknown name vcpu: did you mean vcpus?")]
    [InlineData("[sandbox]\n\ndebug = 1", 3, "debug must be true or false")]
    [InlineData("[hypervisor]\nvcpus = 0", 2, "vcpus must be an integer from 1 to 255")]
    [InlineData("[hypervisor]\nvcpus = 99999999999999999999", 2, "no string, integer")]
    [InlineData("[hypervisor]\nqemu = \"relative\"", 2, "qemu must be an absolute path")]
    [InlineData("[hypervisor]\nmachine = \"pc\"", 2, "machine must be one of q35, microvm")]
    [InlineData("[sandbox]\ndebug = true\ndebug = true", 3, "debug is given twice")]
    [InlineData("[guest]\nkernel = \"/k", 2, "a string without its end")]
    [InlineData("[guest]\nkernel = \"/k\" x", 2, "unexpected text")]
    [InlineData("[guest]\nkernel_parameters = [\"a\" \"b\"]", 2, "expected ,")]
    [InlineData("[guest", 1, "expected ]")]
    [InlineData("= 1", 1, "expected a name")]
    public void WhatIsNotUnderstoodIsNamedWithItsLine(string text, int line, string reason)
    {
        var error = Assert.Throws<RuntimeException>(() => Configuration.Parse(text, "f.toml"));
        Assert.StartsWith($"configuration f.toml:{line}: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DropInsCountAfterTheFileInTheOrderOfTheirNames()
    {
        var directory = Directory.CreateTempSubdirectory("katalike-config-").FullName;
        try
        {
            Directory.CreateDirectory($"{directory}/config.d");
            File.WriteAllText($"{directory}/config.toml", "[hypervisor]\nvcpus = 2\nmemory_mib = 300\n[sandbox]\ndebug = true");
            File.WriteAllText($"{directory}/config.d/20-b.toml", "[hypervisor]\nvcpus = 4");
            File.WriteAllText($"{directory}/config.d/10-a.toml", "[hypervisor]\nvcpus = 3\nmemory_mib = 400\n");
            File.WriteAllText($"{directory}/config.d/30-c.toml.off", "no toml");
            var read = Configuration.Load($"{directory}/config.toml");
            Assert.Equal((4, 400, true), (read.Vcpus, read.MemoryMib, read.Debug));
            File.WriteAllText($"{directory}/config.d/40-d.toml", "[hypervisor]\n\nvcpu = 4");
            var error = Assert.Throws<RuntimeException>(() => Configuration.Load($"{directory}/config.toml"));
            Assert.Equal($"configuration {directory}/config.d/40-d.toml:3: unknown key vcpu in section [hypervisor]: did you mean vcpus?", error.Message);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void TheDefaultFileNeedNotExistButANamedOneMust()
    {
        var error = Assert.Throws<RuntimeException>(() => Configuration.Load("/nonexistent/config.toml"));
        Assert.Contains("/nonexistent/config.toml", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingProgramSaysWhatToDo()
    {
        var error = Assert.Throws<RuntimeException>(() => ProgramPaths.Find(new Configuration { Qemu = "/nonexistent/qemu" }));
        Assert.Equal("qemu /nonexistent/qemu: no such file (from the configuration)", error.Message);
    }
}
