using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

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
/// only: <c>/etc/katalike/config.toml</c>, or the file that <c>--config</c> names, and <c>config.d/*.toml</c> beside it.
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

    /// <summary>A sandbox is a copy of a saved machine where there is one, and shares no memory with others afterwards.</summary>
    public bool Templates { get; init; } = true;
    public string TemplateDirectory { get; init; } = Runtime.Templates.TemplateStore.DefaultDirectory;

    /// <summary>How many machines <c>katalike pool</c> keeps ready; 0: no sandbox asks for one.</summary>
    public int PoolSize { get; init; }
    public string PoolDirectory { get; init; } = $"{StateRoot.Default}/pool";

    /// <summary>What the vm section of config.json may choose.</summary>
    public VmAllowance Vm { get; init; } = new();

    /// <summary>Names of annotations below katalike.io/ that a pod may have.</summary>
    public IReadOnlyList<string> Annotations { get; init; } = [];

    // No keys of the file: what a vm section or an annotation has chosen.

    /// <summary>The sandbox gets QEMU's own network, and none of the host's interfaces.</summary>
    public bool UserNetwork { get; init; }

    /// <summary>Appended to QEMU's command line.</summary>
    public IReadOnlyList<string> HypervisorParameters { get; init; } = [];

    public VmImage? Image { get; init; }

    /// <summary>The guest boots from the image in place of the initrd.</summary>
    public bool ImageIsRoot { get; init; }

    /// <summary>The machine's size, whatever the limits of containers; 0: by these.</summary>
    public int ExactVcpus { get; init; }
    public int ExactMemoryMib { get; init; }

    /// <summary>
    /// Reads a file, and then those of <c>config.d</c> beside it in the order of their names: what a later one says counts.
    /// </summary>
    /// <param name="path">Null: the default file, which need not exist.</param>
    /// <exception cref="RuntimeException">A file cannot be read, or a line is not understood.</exception>
    public static Configuration Load(string? path)
    {
        var main = path ?? DefaultPath;
        var configuration = path is null && !File.Exists(main) ? new Configuration() : new Configuration().With(main);
        var dropIns = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(main))!, "config.d");
        foreach (var file in (Directory.Exists(dropIns) ? Directory.GetFiles(dropIns, "*.toml") : []).Order(StringComparer.Ordinal))
            configuration = configuration.With(file);
        return configuration;
    }

    private Configuration With(string file)
    {
        try
        {
            return With(File.ReadAllText(file), file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"configuration {file}: {error.Message}", cause: error);
        }
    }

    /// <param name="name">For messages.</param>
    public static Configuration Parse(string text, string name) => new Configuration().With(text, name);

    private Configuration With(string text, string name)
    {
        var configuration = this;
        foreach (var entry in ConfigurationReader.Read(text, name))
            configuration = configuration.With(entry);
        return configuration;
    }

    private static readonly Dictionary<(string Section, string Key), Func<Configuration, ConfigurationEntry, Configuration>> Keys = new()
    {
        [("hypervisor", "accelerator")] = (c, entry) => c with { Accelerator = entry.OneOf<AcceleratorChoice>() },
        [("hypervisor", "machine")] = (c, entry) => c with { Machine = entry.OneOf<MachineType>() },
        [("hypervisor", "memory_mib")] = (c, entry) => c with { MemoryMib = entry.Integer(128, 1 << 20) },
        [("hypervisor", "vcpus")] = (c, entry) => c with { Vcpus = entry.Integer(1, 255) },
        [("hypervisor", "max_memory_mib")] = (c, entry) => c with { MaxMemoryMib = entry.Integer(0, 1 << 20) },
        [("hypervisor", "max_vcpus")] = (c, entry) => c with { MaxVcpus = entry.Integer(0, 255) },
        [("hypervisor", "qemu")] = (c, entry) => c with { Qemu = entry.AbsolutePath() },
        [("hypervisor", "virtiofsd")] = (c, entry) => c with { Virtiofsd = entry.AbsolutePath() },
        [("guest", "kernel")] = (c, entry) => c with { Kernel = entry.AbsolutePath() },
        [("guest", "initrd")] = (c, entry) => c with { Initrd = entry.AbsolutePath() },
        [("guest", "kernel_parameters")] = (c, entry) => c with { KernelParameters = entry.Strings() },
        [("sandbox", "boot_timeout_seconds")] = (c, entry) => c with { BootTimeoutSeconds = entry.Integer(1, 3600) },
        [("sandbox", "debug")] = (c, entry) => c with { Debug = entry.Boolean() },
        [("template", "enabled")] = (c, entry) => c with { Templates = entry.Boolean() },
        [("template", "directory")] = (c, entry) => c with { TemplateDirectory = entry.AbsolutePath() },
        [("pool", "size")] = (c, entry) => c with { PoolSize = entry.Integer(0, 1000) },
        [("pool", "directory")] = (c, entry) => c with { PoolDirectory = entry.AbsolutePath() },
        [("vm", "hypervisor_paths")] = (c, entry) => c with { Vm = c.Vm with { HypervisorPaths = entry.Strings() } },
        [("vm", "hypervisor_parameters")] = (c, entry) => c with { Vm = c.Vm with { HypervisorParameters = entry.Strings() } },
        [("vm", "kernel_paths")] = (c, entry) => c with { Vm = c.Vm with { KernelPaths = entry.Strings() } },
        [("vm", "kernel_parameters")] = (c, entry) => c with { Vm = c.Vm with { KernelParameters = entry.Strings() } },
        [("vm", "initrd_paths")] = (c, entry) => c with { Vm = c.Vm with { InitrdPaths = entry.Strings() } },
        [("vm", "image_paths")] = (c, entry) => c with { Vm = c.Vm with { ImagePaths = entry.Strings() } },
        [("vm", "hardware")] = (c, entry) => c with { Vm = c.Vm with { Hardware = entry.Strings() } },
        [("annotations", "allowed")] = (c, entry) => c with { Annotations = entry.Names(PodAnnotations.Names) },
    };

    private Configuration With(ConfigurationEntry entry) =>
        Keys.TryGetValue((entry.Section, entry.Key), out var set) ? set(this, entry) : throw entry.Error(Unknown(entry));

    /// <summary>Names the nearest key: of the section, unless the name or the section is another one's.</summary>
    private static string Unknown(ConfigurationEntry entry)
    {
        var near = Keys.Keys.Where(known => known.Section == entry.Section).ToList();
        if (near.Count == 0 || Keys.Keys.Any(known => known.Key == entry.Key))
            near = [.. Keys.Keys];
        var name = NearestName.To(entry.Key, near.Select(known => known.Key));
        var section = near.First(known => known.Key == name).Section;
        return $"unknown key {entry.Key} in section [{entry.Section}]: did you mean {name}{(section == entry.Section ? "" : $" in section [{section}]")}?";
    }
}
