namespace KataLike.Linux;

/// <summary>capabilities(7): numbers of the names that the specification uses.</summary>
public static class CapabilityNames
{
    // The index is the number (linux/capability.h).
    private static readonly string[] _names =
    [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
        "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
    ];

    internal static IReadOnlyList<string> All => _names;

    /// <summary>The set of the capabilities that are known here; bit n is capability n. Unknown names are left out.</summary>
    public static ulong Set(IEnumerable<string>? names) => (names ?? [])
        .Select(name => Array.IndexOf(_names, name))
        .Where(number => number >= 0)
        .Aggregate(0UL, (set, number) => set | (1UL << number));

    /// <summary>The highest capability of the running kernel.</summary>
    public static int Last { get; } = int.Parse(KernelFiles.Read("/proc/sys/kernel/cap_last_cap"));
}
