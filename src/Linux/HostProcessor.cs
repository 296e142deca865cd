namespace KataLike.Linux;

/// <summary>The processor of this machine.</summary>
public static class HostProcessor
{
    private static readonly string[] _fields = ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"];

    /// <summary>What programs may have chosen their code by: lines of /proc/cpuinfo about the first one.</summary>
    public static IEnumerable<string> Model() => File.ReadLines("/proc/cpuinfo").TakeWhile(line => line.Length > 0)
        .Where(line => _fields.Any(name => line.StartsWith(name, StringComparison.Ordinal)));
}
