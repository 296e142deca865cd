using System.Globalization;
using System.Text;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Agent;

namespace KataLike.Agent.Service;

/// <summary>What /proc tells of a process (proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5)).</summary>
internal static class ProcessFiles
{
    // sysconf(_SC_CLK_TCK), which is 100 on every architecture: the unit of the times in stat.
    private const ulong NanosecondsPerTick = 10_000_000;

    /// <summary>Null where the process has ended meanwhile.</summary>
    public static ProcessInfo? TryRead(int pid, string proc = "/proc")
    {
        try
        {
            var directory = $"{proc}/{pid}";
            var sinceBoot = File.ReadAllText($"{proc}/uptime").Split(' ')[0];
            var boot = DateTime.UtcNow.AddSeconds(-double.Parse(sinceBoot, CultureInfo.InvariantCulture));
            var process = ParseStat(File.ReadAllText($"{directory}/stat"), boot);
            process.Uid = ParseUid(File.ReadAllText($"{directory}/status"));
            process.Arguments.AddRange(ParseArguments(File.ReadAllBytes($"{directory}/cmdline")));
            return process;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <param name="boot">When the machine started, UTC.</param>
    internal static ProcessInfo ParseStat(string stat, DateTime boot)
    {
        // The name is in parentheses and may hold any byte: fields count from the last one.
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        ulong Field(int number) => ulong.Parse(fields[number - 3], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

        return new ProcessInfo
        {
            Pid = uint.Parse(stat[..stat.IndexOf(' ', StringComparison.Ordinal)], CultureInfo.InvariantCulture),
            State = fields[3 - 3],
            ParentPid = (uint)Field(4),
            Terminal = TerminalName(int.Parse(fields[7 - 3], CultureInfo.InvariantCulture)),
            CpuTime = (Field(14) + Field(15)) * NanosecondsPerTick,
            StartedAt = Timestamp.FromDateTime(boot.AddTicks((long)(Field(22) * NanosecondsPerTick / 100))),
        };
    }

    /// <summary>The real user's id.</summary>
    internal static uint ParseUid(string status)
    {
        foreach (var line in status.Split('\n'))
        {
            if (line.StartsWith("Uid:", StringComparison.Ordinal))
            {
                return uint.Parse(line.Split('\t')[1], CultureInfo.InvariantCulture);
            }
        }
        return 0;
    }

    /// <summary>Each ends with a zero; a process that renamed itself may have left out the last.</summary>
    internal static string[] ParseArguments(ReadOnlySpan<byte> commandLine)
    {
        if (commandLine.Length > 0 && commandLine[^1] == 0)
        {
            commandLine = commandLine[..^1];
        }
        return commandLine.Length == 0 ? [] : Encoding.UTF8.GetString(commandLine).Split('\0');
    }

    /// <summary>As ps writes it. Majors 136 to 143 are the pseudo terminals (devices.txt of the kernel).</summary>
    private static string TerminalName(int device)
    {
        var major = (device >> 8) & 0xfff;
        var minor = (device & 0xff) | ((device >> 12) & 0xfff00);
        return major is >= 136 and <= 143 ? $"pts/{((major - 136) << 8) + minor}" : device == 0 ? "?" : $"{major}:{minor}";
    }
}
