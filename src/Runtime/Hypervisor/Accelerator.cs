using System.Text.RegularExpressions;

namespace KataLike.Runtime.Hypervisor;

/// <summary>What executes the guest's instructions: the processor (KVM), or QEMU's translator (TCG).</summary>
internal enum Accelerator { Kvm, Tcg }

/// <summary>The accelerator and, where it is not what one would hope for, a line for the log that says why.</summary>
internal sealed partial record ChosenAccelerator(Accelerator Accelerator, string? Note)
{
    /// <summary>
    /// auto takes KVM only where the processor shows its extension too: /dev/kvm may exist and not work, as in nested
    /// machines whose guests then hang.
    /// </summary>
    public static ChosenAccelerator From(AcceleratorChoice choice, string cpuinfo, bool deviceExists) => choice switch
    {
        AcceleratorChoice.Tcg => new(Accelerator.Tcg, null),
        AcceleratorChoice.Kvm when !deviceExists =>
            throw new RuntimeException("accelerator kvm: /dev/kvm is missing: load kvm_intel or kvm_amd, or set accelerator = \"tcg\""),
        AcceleratorChoice.Kvm => new(Accelerator.Kvm, null),
        _ when !deviceExists => new(Accelerator.Tcg, "no /dev/kvm: the guest is emulated, which is many times slower"),
        _ when !Extension().IsMatch(cpuinfo) => new(
            Accelerator.Tcg,
            "/dev/kvm is there, but the processor shows neither vmx nor svm: the guest is emulated, which is many times slower"),
        _ => new(Accelerator.Kvm, null),
    };

    public static ChosenAccelerator Choose(AcceleratorChoice choice) =>
        From(choice, File.ReadAllText("/proc/cpuinfo"), File.Exists("/dev/kvm"));

    [GeneratedRegex(@"^flags\s*:.*\b(vmx|svm)\b", RegexOptions.Multiline)]
    private static partial Regex Extension();
}
