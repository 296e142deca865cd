using System.Text;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Templates;

/// <summary>The machine of the configured size that is saved, and whatever must be the same for a copy to go on where it stopped.</summary>
internal sealed record TemplatePlan(MachinePlan Machine, string Key)
{
    /// <summary>The template for a configuration; null: there is to be none, or machines of that kind are not saved.</summary>
    public static TemplatePlan? For(Configuration configuration) => configuration.Templates ? Kind(configuration) : null;

    /// <summary>The same, whether machines of that kind are to be saved or not.</summary>
    public static TemplatePlan? Kind(Configuration configuration)
    {
        // microvm has no bus for the devices that a copy is given; what an administrator adds to QEMU, or an image, may not be copied.
        if (configuration is not
            { Machine: MachineType.Q35, Image: null, HypervisorParameters: [], ExactVcpus: 0, ExactMemoryMib: 0, Debug: false })
            return null;
        var machine = MachinePlan.For(configuration, new Spec { OciVersion = "1.0.2" }, hotPlug: true);
        machine = machine with { Spec = machine.Spec with { Origin = MachineOrigin.Template } };
        return new TemplatePlan(machine, KeyOf(machine));
    }

    /// <summary>The key of QEMU itself, as it was with a copy of this machine (decision 22); null: there is no use for that.</summary>
    /// <remarks>
    /// Emulation only: what costs a start most is there in that process, the guest's code as the host's. Not with the kernel's vsock device, whose
    /// descriptor QEMU closes when the device is taken away.
    /// </remarks>
    public string? ProcessKey =>
        Machine.Spec.Accelerator == Accelerator.Tcg && !File.Exists(VsockSockets.VhostDevice) ? $"{Key}process 2\n" : null;

    /// <summary>Whether a sandbox that is to be such a machine can be a copy: what is larger about it is plugged in.</summary>
    /// <param name="wanted">By the sandbox's own configuration and its first container.</param>
    /// <param name="configured">Of the file.</param>
    /// <param name="chosen">What the sandbox makes of it.</param>
    public bool Fits(MachinePlan wanted, Configuration configured, Configuration chosen) =>
        chosen with { Vcpus = configured.Vcpus, MemoryMib = configured.MemoryMib, UserNetwork = configured.UserNetwork } == configured
        && wanted.Size.Vcpus >= Machine.Size.Vcpus && wanted.Size.Vcpus <= Machine.Size.MaxVcpus
        && wanted.Size.MemoryMib >= Machine.Size.MemoryMib && wanted.Size.MemoryMib <= Machine.Size.MaxMemoryMib;

    private static string KeyOf(MachinePlan machine)
    {
        var key = new StringBuilder();
        foreach (var argument in QemuCommandLine.From(machine.Spec))
            key.Append(argument).Append('\n');
        foreach (var path in (string?[])[machine.Programs.Qemu, machine.Programs.Kernel, machine.Programs.Initrd, machine.Programs.Qboot])
        {
            if (path is not null && new FileInfo(path) is var file)
                key.Append($"{path} {file.Length} {file.LastWriteTimeUtc.Ticks}\n");
        }
        // The guest sees the host's processor, and has chosen its code by it.
        if (machine.Spec.Accelerator == Accelerator.Kvm)
            key.AppendJoin('\n', HostProcessor.Model());
        return key.ToString();
    }
}
