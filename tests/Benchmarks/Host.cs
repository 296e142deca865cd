namespace KataLike.Benchmarks;

/// <summary>The machine that all of this ran on.</summary>
internal static class Host
{
    private static readonly string Processor = File.ReadLines("/proc/cpuinfo")
        .Where(line => line.StartsWith("model name", StringComparison.Ordinal)).Select(line => line.Split(':')[1].Trim()).FirstOrDefault("unknown");

    public static string Line => $"{Environment.ProcessorCount} processors ({Processor}), Linux {Environment.OSVersion.Version}";

    public static object Description => new { processors = Environment.ProcessorCount, processor = Processor, kernel = Environment.OSVersion.Version.ToString() };
}
