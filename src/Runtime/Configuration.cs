using KataLike.Contract.Oci;

namespace KataLike.Runtime;

internal enum AcceleratorChoice { Auto, Kvm, Tcg }

internal enum MachineType { Q35, Microvm }

/// <summary>
/// What a bundle's vm section may choose: nothing, unless it stands here. A path stands for itself, or with a slash at its end
/// for all below it; a parameter for itself, or with a * at its end for all that begin so.
/// </summary>
internal sealed record VmAllowance
{
    public IReadOnlyList<string> HypervisorPaths { get; init; } = [];
    public IReadOnlyList<string> HypervisorParameters { get; init; } = [];
    public IReadOnlyList<string> KernelPaths { get; init; } = [];
    public IReadOnlyList<string> KernelParameters { get; init; } = [];
    public IReadOnlyList<string> InitrdPaths { get; init; } = [];
    public IReadOnlyList<string> ImagePaths { get; init; } = [];

    /// <summary>"vcpus" and "memory".</summary>
    public IReadOnlyList<string> Hardware { get; init; } = [];
}

/// <summary>
/// What an administrator may change. Every key has a default here, so that the file is needed for the exceptions
/// only: <c>/etc/katalike/config.toml</c>, or the file that <c>--config</c> names.
/// </summary>
internal sealed record Configuration
{
    public const string DefaultPath = "/etc/katalike/config.toml";

    /// <summary>auto: KVM where the processor has it, else emulation.</summary>
    public AcceleratorChoice Accelerator { get; init; } = AcceleratorChoice.Auto;

    public MachineType Machine { get; init; } = MachineType.Q35;

    /// <summary>Memory of a sandbox for its kernel and for containers without a limit, MiB; limits come on top.</summary>
    public int MemoryMib { get; init; } = 512;

    /// <summary>Processors of a sandbox whose containers have no quota.</summary>
    public int Vcpus { get; init; } = 1;

    /// <summary>
    /// What a running sandbox can grow to as containers are added and updated; 0: the host's, but at most 16 GiB, since a
    /// GiB that may come costs 0.1 MiB from the start. One that is larger when it starts stays as it is.
    /// </summary>
    public int MaxMemoryMib { get; init; }
    public int MaxVcpus { get; init; }

    /// <summary>Paths; null: looked for where <see cref="ProgramPaths"/> says.</summary>
    public string? Qemu { get; init; }
    public string? Virtiofsd { get; init; }
    public string? Kernel { get; init; }
    public string? Initrd { get; init; }

    /// <summary>Appended to the kernel's command line.</summary>
    public IReadOnlyList<string> KernelParameters { get; init; } = [];

    /// <summary>From the start of QEMU to the agent's first answer.</summary>
    public int BootTimeoutSeconds { get; init; } = 60;

    /// <summary>The guest's kernel and agent log to the console, and the sandbox process says what it does.</summary>
    public bool Debug { get; init; }

    /// <summary>What the vm section of config.json may choose.</summary>
    public VmAllowance Vm { get; init; } = new();

    // No keys of the file: what a vm section has chosen.

    /// <summary>Appended to QEMU's command line.</summary>
    public IReadOnlyList<string> HypervisorParameters { get; init; } = [];

    public VmImage? Image { get; init; }

    /// <summary>The guest boots from the image in place of the initrd.</summary>
    public bool ImageIsRoot { get; init; }

    /// <summary>The machine's size, whatever the limits of containers; 0: by these.</summary>
    public int ExactVcpus { get; init; }
    public int ExactMemoryMib { get; init; }

    /// <summary>Reads a file; null: the default one, which need not exist.</summary>
    /// <exception cref="RuntimeException">The file cannot be read, or a line is not understood.</exception>
    public static Configuration Load(string? path)
    {
        string text;
        try
        {
            text = File.ReadAllText(path ?? DefaultPath);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException && path is null)
        {
            return new Configuration();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"configuration {path ?? DefaultPath}: {error.Message}", cause: error);
        }
        return Parse(text, path ?? DefaultPath);
    }

    /// <param name="name">For messages.</param>
    public static Configuration Parse(string text, string name)
    {
        var configuration = new Configuration();
        foreach (var entry in ConfigurationReader.Read(text, name))
            configuration = configuration.With(entry);
        return configuration;
    }

    private Configuration With(ConfigurationEntry entry) => (entry.Section, entry.Key) switch
    {
        ("hypervisor", "accelerator") => this with { Accelerator = entry.OneOf<AcceleratorChoice>() },
        ("hypervisor", "machine") => this with { Machine = entry.OneOf<MachineType>() },
        ("hypervisor", "memory_mib") => this with { MemoryMib = entry.Integer(128, 1 << 20) },
        ("hypervisor", "vcpus") => this with { Vcpus = entry.Integer(1, 255) },
        ("hypervisor", "max_memory_mib") => this with { MaxMemoryMib = entry.Integer(0, 1 << 20) },
        ("hypervisor", "max_vcpus") => this with { MaxVcpus = entry.Integer(0, 255) },
        ("hypervisor", "qemu") => this with { Qemu = entry.AbsolutePath() },
        ("hypervisor", "virtiofsd") => this with { Virtiofsd = entry.AbsolutePath() },
        ("guest", "kernel") => this with { Kernel = entry.AbsolutePath() },
        ("guest", "initrd") => this with { Initrd = entry.AbsolutePath() },
        ("guest", "kernel_parameters") => this with { KernelParameters = entry.Strings() },
        ("sandbox", "boot_timeout_seconds") => this with { BootTimeoutSeconds = entry.Integer(1, 3600) },
        ("sandbox", "debug") => this with { Debug = entry.Boolean() },
        ("vm", "hypervisor_paths") => this with { Vm = Vm with { HypervisorPaths = entry.Strings() } },
        ("vm", "hypervisor_parameters") => this with { Vm = Vm with { HypervisorParameters = entry.Strings() } },
        ("vm", "kernel_paths") => this with { Vm = Vm with { KernelPaths = entry.Strings() } },
        ("vm", "kernel_parameters") => this with { Vm = Vm with { KernelParameters = entry.Strings() } },
        ("vm", "initrd_paths") => this with { Vm = Vm with { InitrdPaths = entry.Strings() } },
        ("vm", "image_paths") => this with { Vm = Vm with { ImagePaths = entry.Strings() } },
        ("vm", "hardware") => this with { Vm = Vm with { Hardware = entry.Strings() } },
        _ => throw entry.Error($"unknown key {entry.Key} in section [{entry.Section}]"),
    };
}
