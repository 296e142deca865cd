using System.Globalization;

namespace KataLike.Linux;

/// <summary>/proc/PID/stat, by the numbers that proc_pid_stat(5) gives its fields; from the third on, since the second, the name, may hold anything.</summary>
internal sealed class ProcessStat
{
    private readonly string[] _fields;

    private ProcessStat(string text) => _fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');

    public static ProcessStat Of(int pid) => new(File.ReadAllText($"/proc/{pid}/stat"));

    public char State => _fields[0][0];

    public ulong this[int field] => ulong.Parse(_fields[field - 3], CultureInfo.InvariantCulture);
}
