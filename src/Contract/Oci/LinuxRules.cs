using static KataLike.Contract.Oci.SpecRules;

namespace KataLike.Contract.Oci;

/// <summary>config-linux.md.</summary>
internal static class LinuxRules
{
    private static readonly string[] SeccompActions =
    [
        "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
    ];

    private static readonly string[] SeccompArchitectures =
    [
        "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
    ];

    private static readonly string[] SeccompFlags =
    [
        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ];

    private static readonly string[] SeccompOperators =
    [
        "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
    ];

    public static void Check(LinuxSpec linux, string path)
    {
        CheckNamespaces(linux.Namespaces, $"{path}.namespaces");
        MountRules.CheckSysctls(linux, $"{path}.sysctl");
        Each(linux.Devices, $"{path}.devices", MountRules.CheckDevice);
        if (linux.Resources is { } resources)
            Check(resources, $"{path}.resources");
        if (linux.Seccomp is { } seccomp)
            CheckSeccomp(seccomp, $"{path}.seccomp");
        if (linux.RootfsPropagation is { Length: > 0 } propagation)
        {
            OneOf(propagation, $"{path}.rootfsPropagation",
                ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"]);
        }

        foreach (string clock in linux.TimeOffsets?.Keys ?? [])
            OneOf(clock, $"{path}.timeOffsets", ["monotonic", "boottime"]);
        if (linux.TimeOffsets?.Values.Any(static offset => offset.Nanosecs > 999_999_999) == true)
            throw new OciException($"{path}.timeOffsets", "nanosecs must be less than a second");
        if (linux.Personality is { } personality)
            OneOf(personality.Domain, $"{path}.personality.domain", ["LINUX", "LINUX32"]);
        if (linux.FindNamespace("user") is { Path: null or "" })
        {
            CheckIds(linux.UidMappings, $"{path}.uidMappings");
            CheckIds(linux.GidMappings, $"{path}.gidMappings");
        }

        Needs(linux.UidMappings is { Count: > 0 }, "user", $"{path}.uidMappings");
        Needs(linux.GidMappings is { Count: > 0 }, "user", $"{path}.gidMappings");
        Needs(linux.MaskedPaths is { Count: > 0 }, "mount", $"{path}.maskedPaths");
        Needs(linux.ReadonlyPaths is { Count: > 0 }, "mount", $"{path}.readonlyPaths");
        Needs(linux.TimeOffsets is { Count: > 0 }, "time", $"{path}.timeOffsets");

        void Needs(bool used, string type, string at)
        {
            if (used && linux.FindNamespace(type) is null)
                throw new OciException(at, $"needs a {type} namespace");
        }
    }

    public static void Check(Resources resources, string path)
    {
        Each(resources.Devices, $"{path}.devices", CheckDeviceRule);
        Each(resources.HugepageLimits, $"{path}.hugepageLimits", static (limit, at) => CheckPageSize(limit.PageSize, $"{at}.pageSize"));
        Each(resources.Network?.Priorities, $"{path}.network.priorities", static (item, at) => NotEmpty(item.Name, $"{at}.name"));
        foreach (string file in resources.Unified?.Keys ?? [])
        {
            // Names of files in the cgroup's directory, and nothing that leads out of it.
            if (file.Length == 0 || file.Contains('/') || file is "." or "..")
                throw new OciException($"{path}.unified['{file}']", "must be the name of a cgroup file");
            if (file is "cgroup.procs" or "cgroup.threads" or "cgroup.kill")
                throw new OciException($"{path}.unified['{file}']", "is no limit");
        }
    }

    /// <summary>config-linux.md, "User namespace mappings"; at most as many as the kernel takes.</summary>
    private static void CheckIds(IReadOnlyList<IdMapping>? mappings, string path)
    {
        const int maxRanges = 340;
        if (mappings is not { Count: > 0 })
            throw new OciException(path, "a new user namespace needs them");
        if (mappings.Count > maxRanges)
            throw new OciException(path, $"{mappings.Count} ranges are more than {maxRanges}");
        Each(mappings, path, static (range, at) =>
        {
            if (range.Size == 0)
                throw new OciException($"{at}.size", "must not be 0");
            if (Math.Max(range.ContainerId, range.HostId) + (ulong)range.Size > uint.MaxValue)
                throw new OciException(at, $"{range.Size} ids from {Math.Max(range.ContainerId, range.HostId)} are beyond the last one");
        });
        if (!mappings.Any(static range => range.ContainerId == 0))
            throw new OciException(path, "the root user of the container, 0, has no id");
        foreach (Func<IdMapping, uint> side in new Func<IdMapping, uint>[] { static range => range.ContainerId, static range => range.HostId })
        {
            var sorted = mappings.OrderBy(side).ToList();
            for (int i = 1; i < sorted.Count; i++)
            {
                if (side(sorted[i]) - side(sorted[i - 1]) < sorted[i - 1].Size)
                    throw new OciException(path, $"id {side(sorted[i])} is in two ranges");
            }
        }
    }

    /// <summary>It is a part of the name of a file: "2MB", "1GB".</summary>
    private static void CheckPageSize(string size, string path)
    {
        NotEmpty(size, path);
        if (size.Length < 3 || size[^1] != 'B' || !"KMG".Contains(size[^2]) || size.AsSpan()[..^2].IndexOfAnyExceptInRange('0', '9') >= 0)
            throw new OciException(path, $"{size} must be of the form 2MB");
    }

    private static void CheckNamespaces(IReadOnlyList<Namespace>? namespaces, string path)
    {
        var seen = new HashSet<string>();
        Each(namespaces, path, (entry, at) =>
        {
            OneOf(entry.Type, $"{at}.type", ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]);
            if (!seen.Add(entry.Type))
                throw new OciException($"{at}.type", $"namespace {entry.Type} is given twice");
            if (entry.Path is { Length: > 0 })
                Absolute(entry.Path, $"{at}.path");
        });
    }

    private static void CheckDeviceRule(DeviceRule rule, string path)
    {
        if (rule.Type is { Length: > 0 })
            OneOf(rule.Type, $"{path}.type", ["a", "b", "c"]);
        if (rule.Access?.AsSpan().IndexOfAnyExcept("rwm") >= 0)
            throw new OciException($"{path}.access", $"{rule.Access} must be of the letters rwm");
    }

    private static void CheckSeccomp(Seccomp seccomp, string path)
    {
        OneOf(seccomp.DefaultAction, $"{path}.defaultAction", SeccompActions);
        CheckErrno(seccomp.DefaultAction, seccomp.DefaultErrnoRet, $"{path}.defaultErrnoRet");
        Each(seccomp.Architectures, $"{path}.architectures", static (name, at) => OneOf(name, at, SeccompArchitectures));
        Each(seccomp.Flags, $"{path}.flags", static (name, at) => OneOf(name, at, SeccompFlags));
        Each(seccomp.Syscalls, $"{path}.syscalls", static (rule, at) =>
        {
            if (rule.Names is not { Count: > 0 })
                throw new OciException($"{at}.names", "must not be empty");
            Each(rule.Names, $"{at}.names", NotEmpty);
            OneOf(rule.Action, $"{at}.action", SeccompActions);
            CheckErrno(rule.Action, rule.ErrnoRet, $"{at}.errnoRet");
            Each(rule.Args, $"{at}.args", static (argument, at) =>
            {
                if (argument.Index > 5)
                    throw new OciException($"{at}.index", $"{argument.Index} must be 0 to 5");
                OneOf(argument.Op, $"{at}.op", SeccompOperators);
            });
        });
    }

    private static void CheckErrno(string action, uint? errno, string path)
    {
        if (errno is not null && action is not ("SCMP_ACT_ERRNO" or "SCMP_ACT_TRACE"))
            throw new OciException(path, $"{action} returns no error number");
        if (errno > ushort.MaxValue)
            throw new OciException(path, $"{errno} must be at most {ushort.MaxValue}");
    }
}
