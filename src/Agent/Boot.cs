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
        // Shared memory of a sandbox's containers (agent.proto, MountSource.sandbox_tmpfs).
        ("tmpfs", "/run/katalike/tmpfs/shm", Plain, [new("mode", "1777")]),
        // nsdelegate: a container may divide its own cgroup and not lift its limits.
        ("cgroup2", "/sys/fs/cgroup", Plain, [new("nsdelegate"), new("memory_recursiveprot")]),
    ];

    /// <summary>Comes before all else.</summary>
    public static void CreateFileSystems()
    {
        Mounts.CoverInitialRoot();
        foreach (var (type, target, attributes, options) in FileSystems)
        {
            Directory.CreateDirectory(target);
            using var mount = Mounts.Create(type, type, options, attributes);
            Mounts.Attach(mount, target);
        }
    }

    public static void PrepareContainers()
    {
        Loopback.BringUp();
        var controllers = File.ReadAllText("/sys/fs/cgroup/cgroup.controllers").Trim();
        var enable = "+" + controllers.Replace(" ", " +", StringComparison.Ordinal);
        Directory.CreateDirectory(ContainersCgroup);
        File.WriteAllText("/sys/fs/cgroup/cgroup.subtree_control", enable);
        // A leaf of its own: what the agent uses is told apart. It needs no oom_score_adj, which its children would
        // inherit: the kernel never picks the first process.
        Directory.CreateDirectory("/sys/fs/cgroup/agent");
        File.WriteAllText("/sys/fs/cgroup/agent/cgroup.procs", "1");
    }

    /// <summary>Ends the machine.</summary>
    public static void PowerOff()
    {
        Machine.Sync();
        Machine.PowerOff();
    }
}
