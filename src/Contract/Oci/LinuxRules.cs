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
        Each(resources.HugepageLimits, $"{path}.hugepageLimits", static (limit, at) => NotEmpty(limit.PageSize, $"{at}.pageSize"));
        Each(resources.Network?.Priorities, $"{path}.network.priorities", static (item, at) => NotEmpty(item.Name, $"{at}.name"));
        foreach (string file in resources.Unified?.Keys ?? [])
        {
            // Names of files in the cgroup's directory, and nothing that leads out of it.
            if (file.Length == 0 || file.Contains('/') || file is "." or "..")
                throw new OciException($"{path}.unified['{file}']", "must be the name of a cgroup file");
        }
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
        Each(seccomp.Syscalls, $"{path}.syscalls", static (rule, at) =>
        {
            if (rule.Names is not { Count: > 0 })
                throw new OciException($"{at}.names", "must not be empty");
            OneOf(rule.Action, $"{at}.action", SeccompActions);
            Each(rule.Args, $"{at}.args", static (argument, at) =>
            {
                if (argument.Index > 5)
                    throw new OciException($"{at}.index", $"{argument.Index} must be 0 to 5");
                OneOf(argument.Op, $"{at}.op", SeccompOperators);
            });
        });
    }
}
