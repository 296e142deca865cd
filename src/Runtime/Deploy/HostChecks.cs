using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Pools;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Deploy;

/// <summary>What this host can and cannot do.</summary>
internal static class HostChecks
{
    private static readonly (int, int) OldestQemu = (7, 2), OldestKernel = (5, 12);

    private const int ManyWatchers = 512;

    public static IReadOnlyList<HostCheck> Run(Host host, string? configurationPath)
    {
        var (configuration, check) = Load(configurationPath);
        return
        [
            check,
            Environment.IsPrivilegedProcess ? new HostCheck("user", CheckStatus.Ok, "root")
                : new HostCheck("user", CheckStatus.Missing, "not root: sandboxes need mounts and namespaces of the host", "run it as root"),
            Kernel(host.Read("/proc/sys/kernel/osrelease")),
            Kvm(configuration.Accelerator, host.Read("/proc/cpuinfo") ?? "", host.Exists("/dev/kvm")),
            Device(host, "vhost-vsock", "the sandbox's own process carries what guest and host say to each other"),
            Device(host, "vhost-net", "QEMU carries the network's packets itself, which is slower"),
            Found("QEMU", () => ProgramPaths.FindQemu(configuration), QemuOf),
            Found("virtiofsd", () => ProgramPaths.FindVirtiofsd(configuration), path => new HostCheck("virtiofsd", CheckStatus.Ok,
                $"{path}, {(Host.VersionOf(path) is { } version && Virtiofsd.GenerationOf(version) == VirtiofsdGeneration.C ? "the one of QEMU, in C" : "the one in Rust")}")),
            Found("guest", () => ProgramPaths.FindGuest(configuration).Kernel, path => new HostCheck("guest", CheckStatus.Ok, $"{path}, {ProgramPaths.FindGuest(configuration).Initrd}")),
            host.Exists("/sys/fs/cgroup/cgroup.controllers")
                ? new HostCheck("cgroups", CheckStatus.Ok, "version 2")
                : new HostCheck("cgroups", CheckStatus.Ok, "version 1; limits of containers are the guest's, which has version 2"),
            Watchers(host.Read("/proc/sys/fs/inotify/max_user_instances")),
            .. Pool(configuration, PoolKeeper.IsKept(configuration.PoolDirectory)),
            .. Engines(host),
        ];
    }

    public static IEnumerable<HostCheck> Pool(Configuration configuration, bool isKept) =>
        configuration.PoolSize == 0 ? []
        : isKept ? [new HostCheck("pool", CheckStatus.Ok, $"kept in {configuration.PoolDirectory}")]
        : [new HostCheck("pool", CheckStatus.Note, $"the configuration wants {configuration.PoolSize} machines to be ready, and nobody keeps them", "systemctl enable --now katalike-pool")];

    private static (Configuration, HostCheck) Load(string? path)
    {
        try
        {
            var there = path ?? (File.Exists(Configuration.DefaultPath) ? Configuration.DefaultPath : null);
            return (Configuration.Load(path), new HostCheck("configuration", CheckStatus.Ok, there ?? "the defaults"));
        }
        catch (RuntimeException error)
        {
            return (new Configuration(), new HostCheck("configuration", CheckStatus.Missing, error.Message, "mend that line"));
        }
    }

    public static HostCheck Kernel(string? release) => Host.NumberIn(release) is { } version && version.CompareTo(OldestKernel) < 0
        ? new HostCheck("kernel", CheckStatus.Missing, $"Linux {release!.Trim()} has no mount_setattr", "use Linux 5.12 or later")
        : new HostCheck("kernel", CheckStatus.Ok, $"Linux {release?.Trim()}");

    public static HostCheck Kvm(AcceleratorChoice choice, string cpuinfo, bool deviceExists)
    {
        const string remedy = "switch virtualization on in the firmware (or nested virtualization in the host of this machine) and load kvm_intel or kvm_amd";
        try
        {
            var chosen = ChosenAccelerator.From(choice, cpuinfo, deviceExists);
            return chosen.Accelerator == Accelerator.Kvm ? new HostCheck("KVM", CheckStatus.Ok, "/dev/kvm, and the processor has its extension")
                : new HostCheck("KVM", CheckStatus.Note, chosen.Note ?? "not used: the configuration says accelerator = \"tcg\"", chosen.Note is null ? null : remedy);
        }
        catch (RuntimeException error)
        {
            return new HostCheck("KVM", CheckStatus.Missing, error.Message);
        }
    }

    private static HostCheck Device(Host host, string name, string instead) => host.Exists($"/dev/{name}")
        ? new HostCheck(name, CheckStatus.Ok, $"/dev/{name}")
        : new HostCheck(name, CheckStatus.Note, $"no /dev/{name}: {instead}", $"modprobe {name.Replace('-', '_')}");

    private static HostCheck Found(string name, Func<string> find, Func<string, HostCheck> look)
    {
        try
        {
            return look(find());
        }
        catch (RuntimeException error)
        {
            return new HostCheck(name, CheckStatus.Missing, error.Message);
        }
    }

    private static HostCheck QemuOf(string path) => Qemu(path, Host.VersionOf(path));

    public static HostCheck Qemu(string path, string? version) => Host.NumberIn(version) is not { } number
        ? new HostCheck("QEMU", CheckStatus.Missing, $"{path} does not run", "install qemu-system-x86 again")
        : number.CompareTo(OldestQemu) < 0
            ? new HostCheck("QEMU", CheckStatus.Note, $"{path}, version {number.Major}.{number.Minor}, is older than any that was tried", "use 7.2 or later")
            : new HostCheck("QEMU", CheckStatus.Ok, $"{path}, version {number.Major}.{number.Minor}");

    /// <summary>A sandbox with a volume that kubelet updates takes one.</summary>
    public static HostCheck Watchers(string? instances) => int.TryParse(instances, out var count) && count < ManyWatchers
        ? new HostCheck("inotify", CheckStatus.Note, $"{count} watchers for each user: pods beyond so many are not told when a configmap changes", $"sysctl fs.inotify.max_user_instances={ManyWatchers * 16}")
        : new HostCheck("inotify", CheckStatus.Ok, $"{instances?.Trim()} watchers for each user");

    private static IEnumerable<HostCheck> Engines(Host host)
    {
        yield return Engine(host, "containerd", "containerd", "--containerd", ContainerdSetup.IsConfigured(host), "no runtime class for Kubernetes; ctr and nerdctl need none");
        yield return Engine(host, "CRI-O", "crio", "--crio", Names(host, "/etc/crio/crio.conf.d"), "no runtime named katalike");
        yield return Engine(host, "Podman", "podman", "--podman", Names(host, "/etc/containers/containers.conf.d"), "no runtime named katalike; --runtime takes its path");
        if (Host.FindProgram("containerd") is not null && Host.FindProgram("containerd-shim-katalike-v2") is null)
            yield return new HostCheck("shim", CheckStatus.Note, "containerd-shim-katalike-v2 is not in PATH: containerd will not find it", "katalike install");
    }

    private static bool Names(Host host, string directory) =>
        host.ReadAll(directory).Any(text => text.Contains("katalike", StringComparison.Ordinal));

    private static HostCheck Engine(Host host, string name, string program, string option, bool isConfigured, string lack)
    {
        if (Host.FindProgram(program) is not { } path)
            return new HostCheck(name, CheckStatus.Ok, "not installed");
        var version = Host.NumberIn(Host.VersionOf(path)) is var (major, minor) ? $" {major}.{minor}" : "";
        return isConfigured ? new HostCheck(name, CheckStatus.Ok, $"{path}{version}, configured")
            : new HostCheck(name, CheckStatus.Note, $"{path}{version}: {lack}", $"katalike install {option}");
    }
}
