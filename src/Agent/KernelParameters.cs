using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>The words of the kernel's command line of the form name=value. The last of a name counts.</summary>
internal sealed class KernelParameters
{
    private readonly Dictionary<string, string> _values = [];

    private KernelParameters(string commandLine)
    {
        foreach (var word in commandLine.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = word.IndexOf('=', StringComparison.Ordinal);
            _values[equals < 0 ? word : word[..equals]] = equals < 0 ? "" : word[(equals + 1)..];
        }
    }

    /// <summary>The value; empty for a word without one; null where it is not there.</summary>
    public string? this[string name] => _values.GetValueOrDefault(name);

    public static KernelParameters Parse(string commandLine) => new(commandLine);

    public static KernelParameters Read(string path = "/proc/cmdline") => new(KernelFiles.Read(path));
}
