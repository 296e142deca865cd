using System.Globalization;
using static KataLike.Contract.Oci.SpecRules;

namespace KataLike.Contract.Oci;

/// <summary>config.md, "Process". Capabilities that we do not know are left to the agent, which ignores them as runc does.</summary>
internal static class ProcessRules
{
    // As many as the kernel can be built for.
    private const int MaxProcessors = 8192;

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
        if (process.ConsoleSize is { } size && Math.Max(size.Width, size.Height) > ushort.MaxValue)
            throw new OciException($"{path}.consoleSize", $"{size.Width} by {size.Height} is more than {ushort.MaxValue}");
        if (process.OomScoreAdj is < -1000 or > 1000)
            throw new OciException($"{path}.oomScoreAdj", $"{process.OomScoreAdj} must be -1000 to 1000");
        if (process.Scheduler is { } scheduler)
            CheckScheduler(scheduler, $"{path}.scheduler");
        if (process.IoPriority is { } io)
            CheckIoPriority(io, $"{path}.ioPriority");
        CheckProcessors(process.ExecCpuAffinity?.Initial, $"{path}.execCPUAffinity.initial");
        CheckProcessors(process.ExecCpuAffinity?.Final, $"{path}.execCPUAffinity.final");
    }

    /// <summary>A list such as "0-3,7".</summary>
    internal static void CheckProcessors(string? list, string path)
    {
        if (string.IsNullOrEmpty(list))
            return;
        foreach (var range in list.Split(','))
        {
            var ends = range.Split('-').Select(text => ushort.TryParse(
                text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort end) && end < MaxProcessors ? end : -1).ToArray();
            if (ends.Length > 2 || ends.Contains(-1) || ends[0] > ends[^1])
                throw new OciException(path, $"{list} must be a list of processors such as 0-3,7");
        }
    }

    private static void CheckScheduler(Scheduler scheduler, string path)
    {
        OneOf(scheduler.Policy, $"{path}.policy", [.. Scheduler.Policies]);
        Each(scheduler.Flags, $"{path}.flags", static (flag, at) => OneOf(flag, at, [.. Scheduler.KnownFlags]));
        if (scheduler.Nice is < -20 or > 19)
            throw new OciException($"{path}.nice", $"{scheduler.Nice} must be -20 to 19");
        if (scheduler.Priority is < 0 or > 99)
            throw new OciException($"{path}.priority", $"{scheduler.Priority} must be 0 to 99");
    }

    private static void CheckIoPriority(IoPriority io, string path)
    {
        OneOf(io.Class, $"{path}.class", ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]);
        if (io.Priority is < 0 or > 7)
            throw new OciException($"{path}.priority", $"{io.Priority} must be 0 to 7");
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
