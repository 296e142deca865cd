using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// config-vm.md: what of the machine a bundle chooses itself. It chooses programs and files of the host that run or are read
/// with the runtime's rights, so nothing counts that the configuration does not allow.
/// </summary>
internal static class VmSection
{
    private const ulong MinimumMemoryMib = 128;

    /// <summary>The configuration for a sandbox whose first container has this section.</summary>
    /// <exception cref="OciException">Something that is not allowed, or that no machine of ours has.</exception>
    public static Configuration Apply(VmSpec? vm, Configuration configuration)
    {
        var allowed = configuration.Vm;
        if (vm?.Hypervisor is { } hypervisor)
        {
            configuration = configuration with
            {
                Qemu = Path("$.vm.hypervisor.path", hypervisor.Path, allowed.HypervisorPaths, "hypervisor_paths") ?? configuration.Qemu,
                HypervisorParameters = Parameters("$.vm.hypervisor.parameters", hypervisor.Parameters, allowed.HypervisorParameters, "hypervisor_parameters"),
            };
        }
        if (vm?.Kernel is { } kernel)
        {
            configuration = configuration with
            {
                Kernel = Path("$.vm.kernel.path", kernel.Path, allowed.KernelPaths, "kernel_paths"),
                KernelParameters = [.. configuration.KernelParameters, .. KernelParameters("$.vm.kernel.parameters", kernel.Parameters, allowed)],
                Initrd = Path("$.vm.kernel.initrd", kernel.Initrd, allowed.InitrdPaths, "initrd_paths") ?? configuration.Initrd,
            };
        }
        if (vm?.Image is { } image)
        {
            if (image.Format is not ("raw" or "qcow2" or "vdi" or "vmdk" or "vhd"))
                throw new OciException("$.vm.image.format", $"unknown value {image.Format}");
            _ = Path("$.vm.image.path", image.Path, allowed.ImagePaths, "image_paths");
            configuration = configuration with { Image = image, ImageIsRoot = vm.Kernel?.Initrd is null };
        }
        return vm?.HwConfig is { } hardware ? Hardware(hardware, configuration) : configuration;
    }

    private static Configuration Hardware(VmHardware hardware, Configuration configuration)
    {
        foreach (var (name, given) in new[]
        {
            ("deviceTree", hardware.DeviceTree is not null), ("dtdevs", hardware.Dtdevs is { Count: > 0 }),
            ("iomems", hardware.Iomems is { Count: > 0 }), ("irqs", hardware.Irqs is { Count: > 0 }),
        })
        {
            if (given)
                throw new OciException($"$.vm.hwConfig.{name}", "is not supported: the machine has no devices of the host");
        }
        if (hardware.Vcpus is { } vcpus)
        {
            Require("$.vm.hwConfig.vcpus", "vcpus", configuration.Vm.Hardware, "hardware");
            if (vcpus is < 1 or > 255)
                throw new OciException("$.vm.hwConfig.vcpus", $"{vcpus} must be 1 to 255");
            configuration = configuration with { ExactVcpus = (int)vcpus };
        }
        if (hardware.Memory is { } memory)
        {
            Require("$.vm.hwConfig.memory", "memory", configuration.Vm.Hardware, "hardware");
            if (memory >> 20 is < MinimumMemoryMib or > int.MaxValue)
                throw new OciException("$.vm.hwConfig.memory", $"{memory} bytes are less than {MinimumMemoryMib} MiB, or too many");
            configuration = configuration with { ExactMemoryMib = (int)(memory >> 20) };
        }
        return configuration;
    }

    /// <param name="path">For messages.</param>
    public static IReadOnlyList<string> KernelParameters(string path, IReadOnlyList<string>? parameters, VmAllowance allowed)
    {
        for (var i = 0; i < parameters?.Count; i++)
        {
            // Each is one word: nothing may hide behind one that is allowed, or swallow what follows it.
            if (parameters[i].Any(c => char.IsWhiteSpace(c) || char.IsControl(c) || c is '"' or ','))
                throw new OciException($"{path}[{i}]", $"{parameters[i]} must not contain blanks, quotes or commas");
        }
        return Parameters(path, parameters, allowed.KernelParameters, "kernel_parameters");
    }

    private static IReadOnlyList<string> Parameters(string path, IReadOnlyList<string>? given, IReadOnlyList<string> allowed, string key)
    {
        for (var i = 0; i < given?.Count; i++)
            Require($"{path}[{i}]", given[i], allowed, key);
        return given ?? [];
    }

    private static string? Path(string path, string? given, IReadOnlyList<string> allowed, string key)
    {
        if (given is null)
            return null;
        if (!System.IO.Path.IsPathRooted(given) || System.IO.Path.GetFullPath(given) != given)
            throw new OciException(path, $"{given} must be an absolute path without . and ..");
        if (!allowed.Any(entry => entry == given || entry.EndsWith('/') && given.StartsWith(entry, StringComparison.Ordinal)))
            throw Refusal(path, given, key);
        return given;
    }

    private static void Require(string path, string given, IReadOnlyList<string> allowed, string key)
    {
        if (!allowed.Any(entry => entry == given || entry.EndsWith('*') && given.StartsWith(entry[..^1], StringComparison.Ordinal)))
            throw Refusal(path, given, key);
    }

    private static OciException Refusal(string path, string given, string key) =>
        new(path, $"{given} is not allowed: add it to {key} in section [vm] of {Configuration.DefaultPath}");
}
