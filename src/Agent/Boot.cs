using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>What the first process does to the machine before it serves, and at its end.</summary>
internal static class Boot
{
    private const MountAttributes Plain =
        MountAttributes.NoSetUserId | MountAttributes.NoDevices | MountAttributes.NoExecution;

    /// <summary>Parent of all containers' cgroups.</summary>
    public const string ContainersCgroup = "/sys/fs/cgroup/katalike";

    // /run and /tmp need none: the root itself is in memory.
    private static readonly (string Type, string Target, MountAttributes Attributes, MountOption[] Options)[] FileSystems =
    [
        ("proc", "/proc", Plain, []),
        ("sysfs", "/sys", Plain, []),
        ("devtmpfs", "/dev", MountAttributes.NoSetUserId | MountAttributes.NoExecution, []),
        ("devpts", "/dev/pts", MountAttributes.NoSetUserId | MountAttributes.NoExecution,
            [new("gid", "5"), new("mode", "0620"), new("ptmxmode", "0666")]),
        ("tmpfs", "/dev/shm", Plain, [new("mode", "1777")]),
        ("mqueue", "/dev/mqueue", Plain, []),
        // nsdelegate: a container may divide its own cgroup and not lift its limits.
        ("cgroup2", "/sys/fs/cgroup", Plain, [new("nsdelegate"), new("memory_recursiveprot")]),
    ];

    private static bool _endsByReset;

    /// <summary>Comes before all else.</summary>
    public static void CreateFileSystems()
    {
        Mounts.CoverInitialRoot();
        foreach (var (type, target, attributes, options) in FileSystems)
        {
            KernelFiles.MakeDirectory(target);
            using var mount = Mounts.Create(type, type, options, attributes);
            Mounts.Attach(mount, target);
        }
    }

    public static void PrepareContainers(KernelParameters parameters)
    {
        // Where there is no ACPI, the host tells the kernel to reset, and QEMU to take that for the end.
        _endsByReset = parameters["reboot"] == "t";
        Loopback.BringUp();
        // Tidying memory ahead of need wakes an idle machine twice a second.
        SetIfThere("/proc/sys/vm/compaction_proactiveness", "0");
        // Adding up counters of memory, each second, has the scheduler look a second later whether that was all, when it is time to add
        // them up again: an idle machine would not come to rest. Seconds.
        SetIfThere("/proc/sys/vm/stat_interval", "60");
        var controllers = KernelFiles.Read("/sys/fs/cgroup/cgroup.controllers").Trim();
        KernelFiles.Write("/sys/fs/cgroup/cgroup.subtree_control", "+" + controllers.Replace(" ", " +", StringComparison.Ordinal));
        KernelFiles.MakeDirectory(ContainersCgroup);
        // The agent stays in the root cgroup, which no limit reaches, and keeps its oom_score_adj, which its children
        // would inherit: the kernel never picks the first process.
    }

    /// <summary>Not every kernel has every setting.</summary>
    private static void SetIfThere(string setting, string value)
    {
        if (File.Exists(setting))
            KernelFiles.Write(setting, value);
    }

    /// <summary>Ends the machine.</summary>
    public static void PowerOff()
    {
        Machine.Sync();
        Machine.PowerOff(restart: _endsByReset);
    }
}
