namespace KataLike.Contract.Oci;

/// <summary>The bundle that `runc spec` prints.</summary>
internal static class DefaultSpec
{
    private static readonly string[] Kept = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

    public static Spec Create() => new()
    {
        OciVersion = "1.0.2-dev",
        Process = Process(),
        Root = new Root { Path = "rootfs", Readonly = true },
        Hostname = "runc",
        Mounts = Mounts(),
        Linux = Linux(),
    };

    private static ProcessSpec Process() => new()
    {
        Terminal = true,
        User = new User(),
        Args = ["sh"],
        Env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        Cwd = "/",
        Capabilities = new Capabilities { Bounding = Kept, Effective = Kept, Permitted = Kept, Ambient = Kept },
        Rlimits = [new Rlimit { Type = "RLIMIT_NOFILE", Hard = 1024, Soft = 1024 }],
        NoNewPrivileges = true,
    };

    private static Mount[] Mounts() =>
    [
        Mount("/proc", "proc", "proc"),
        Mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        Mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        Mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        Mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        Mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ];

    private static Mount Mount(string destination, string type, string source, params string[] options) => new()
    {
        Destination = destination,
        Type = type,
        Source = source,
        Options = options.Length == 0 ? null : options,
    };

    private static LinuxSpec Linux() => new()
    {
        Resources = new Resources { Devices = [new DeviceRule { Allow = false, Access = "rwm" }] },
        Namespaces =
        [
            new Namespace { Type = "pid" },
            new Namespace { Type = "network" },
            new Namespace { Type = "ipc" },
            new Namespace { Type = "uts" },
            new Namespace { Type = "mount" },
        ],
        MaskedPaths =
        [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ],
        ReadonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    };
}
