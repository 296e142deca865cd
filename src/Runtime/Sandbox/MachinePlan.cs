using System.Globalization;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Sandboxes;

/// <summary>The machine for a sandbox, but for its name and for the descriptors that only a running one has.</summary>
/// <param name="Note">A line for the log where the accelerator is not what one would hope for.</param>
internal sealed record MachinePlan(ProgramPaths Programs, MachineSpec Spec, SandboxSize Size, string? Note)
{
    /// <param name="container">The first one, which says how large the machine must be.</param>
    /// <param name="hotPlug">Devices may come later.</param>
    public static MachinePlan For(Configuration configuration, Spec container, bool hotPlug)
    {
        var programs = ProgramPaths.Find(configuration);
        var (accelerator, note) = ChosenAccelerator.Choose(configuration.Accelerator);
        var size = SandboxSize.For(container, configuration, accelerator, HostMemoryMib(), Environment.ProcessorCount);
        var spec = new MachineSpec
        {
            Name = "katalike",
            Accelerator = accelerator,
            Machine = configuration.Machine,
            Vcpus = size.Vcpus,
            Parallel = size.Vcpus > 1,
            MemoryMib = size.MemoryMib,
            MaxVcpus = size.MaxVcpus,
            MaxMemoryMib = size.MaxMemoryMib,
            Kernel = programs.Kernel,
            Initrd = configuration.ImageIsRoot ? null : programs.Initrd,
            Image = configuration.Image,
            HypervisorParameters = configuration.HypervisorParameters,
            Qboot = programs.Qboot,
            KernelParameters = configuration.KernelParameters,
            Debug = configuration.Debug,
            HotPlug = hotPlug,
            QmpDescriptor = VirtualMachine.QmpNumber,
            Vsock = null,
        };
        return new MachinePlan(programs, spec, size, note);
    }

    /// <summary>Not what .NET says: that is the limit of this process.</summary>
    private static long HostMemoryMib() =>
        long.Parse(KernelFiles.Read("/proc/meminfo").Split(' ', 3, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) >> 10;
}
