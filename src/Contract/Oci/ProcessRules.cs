using static KataLike.Contract.Oci.SpecRules;

namespace KataLike.Contract.Oci;

/// <summary>config.md, "Process". Capabilities that we do not know are left to the agent, which ignores them as runc does.</summary>
internal static class ProcessRules
{
    private static readonly string[] RlimitTypes =
    [
        "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING", "RLIMIT_STACK",
    ];

    public static void Check(ProcessSpec process, string path)
    {
        if (process.Args is not { Count: > 0 })
            throw new OciException($"{path}.args", "must not be empty");
        Absolute(process.Cwd, $"{path}.cwd");

        for (int i = 0; i < process.Env?.Count; i++)
        {
            if (process.Env[i].IndexOf('=') < 1)
                throw new OciException($"{path}.env[{i}]", $"{process.Env[i]} must be of the form NAME=VALUE");
        }
        CheckRlimits(process.Rlimits, $"{path}.rlimits");
        if (process.IoPriority is { } io)
            OneOf(io.Class, $"{path}.ioPriority.class", ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]);
    }

    private static void CheckRlimits(IReadOnlyList<Rlimit>? rlimits, string path)
    {
        var seen = new HashSet<string>();
        Each(rlimits, path, (rlimit, at) =>
        {
            OneOf(rlimit.Type, $"{at}.type", RlimitTypes);
            if (!seen.Add(rlimit.Type))
                throw new OciException($"{at}.type", $"{rlimit.Type} is given twice");
            if (rlimit.Soft > rlimit.Hard)
                throw new OciException($"{at}.soft", $"{rlimit.Soft} exceeds the hard limit {rlimit.Hard}");
        });
    }
}
