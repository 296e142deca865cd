using System.Globalization;
using System.Text;
using System.Text.Json;

namespace KataLike.Benchmarks;

/// <summary>The results as a table for people and as JSON for programs.</summary>
internal sealed class Report(Measurement measurement, IReadOnlyList<ContainerRuntime> runtimes, int runs)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private const string Begin = "<!-- bench:begin -->", End = "<!-- bench:end -->";

    public string Table()
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"Median of {runs} interleaved runs on {Environment.ProcessorCount} processors ({Processor()}), Linux {Environment.OSVersion.Version}: wall time / CPU time of all host processes, in ms.");
        text.AppendLine();
        text.AppendLine("| | " + string.Join(" | ", runtimes.Select(runtime => runtime.Name)) + " |");
        text.AppendLine("|---|" + string.Concat(Enumerable.Repeat("---:|", runtimes.Count)));
        foreach (var operation in Measurement.Operations)
            text.AppendLine($"| `{operation}` | " + string.Join(" | ", runtimes.Select(runtime => Cell(runtime, operation))) + " |");
        foreach (var count in Measurement.Memories)
            text.AppendLine($"| {count}, PSS in MiB | " + string.Join(" | ", runtimes.Select(runtime => Memory(runtime, count))) + " |");
        foreach (var direction in (string[])[Throughput.Into, Throughput.OutOf])
            text.AppendLine($"| {direction}, Mbit/s | " + string.Join(" | ", runtimes.Select(runtime => Rate(runtime, direction) is { } rate ? $"{rate}" : "not measured")) + " |");
        text.AppendLine();
        text.AppendLine(string.Join("; ", runtimes.Select(runtime => $"{runtime.Name}: `{runtime.Version}`{string.Concat(runtime.Flags.Select(flag => $" `{flag}`"))}")) + ".");
        foreach (var ((runtime, operation), series) in measurement.Series.Where(entry => entry.Value.Failures.Count > 0))
            text.AppendLine(CultureInfo.InvariantCulture, $"\n{runtime} {operation} failed {series.Failures.Count} times, last: `{Line(series.Failures[^1])}`");
        return text.ToString();
    }

    public string Json() => JsonSerializer.Serialize(
        new
        {
            at = DateTimeOffset.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
            runs,
            host = new { processors = Environment.ProcessorCount, processor = Processor(), kernel = Environment.OSVersion.Version.ToString() },
            runtimes = runtimes.Select(runtime => new
            {
                name = runtime.Name,
                version = runtime.Version,
                flags = runtime.Flags,
                operations = Measurement.Operations.ToDictionary(operation => operation, operation => Numbers(runtime, operation)),
                megabitsPerSecond = new { intoPod = Rate(runtime, Throughput.Into), outOfPod = Rate(runtime, Throughput.OutOf) },
                pssMebibytes = Measurement.Memories.ToDictionary(count => count, count => Idle(runtime, count)),
            }),
        },
        Indented);

    /// <summary>Puts the table between the markers of a document; appends them where they are missing.</summary>
    public static void Replace(string document, string table)
    {
        var text = File.Exists(document) ? File.ReadAllText(document) : "";
        var (begin, end) = (text.IndexOf(Begin, StringComparison.Ordinal), text.IndexOf(End, StringComparison.Ordinal));
        var block = $"{Begin}\n{table.Trim()}\n{End}";
        File.WriteAllText(document, begin >= 0 && end > begin
            ? text[..begin] + block + text[(end + End.Length)..]
            : $"{text.TrimEnd()}\n\n## Measured\n\n{block}\n".TrimStart());
    }

    private string Cell(ContainerRuntime runtime, string operation)
    {
        if (!measurement.Series.TryGetValue((runtime.Name, operation), out var series))
            return "not reached";
        var failed = series.Failures.Count > 0 ? $"failed {series.Failures.Count} of {series.Failures.Count + series.Costs.Count}" : "";
        return series.Costs.Count == 0 ? failed
            : $"{Median(series.Costs.Select(cost => cost.WallSeconds)) * 1000:0} / {Median(series.Costs.Select(cost => cost.CpuSeconds)) * 1000:0} {failed}".Trim();
    }

    private string Memory(ContainerRuntime runtime, string count) => Idle(runtime, count) is { } mebibytes ? $"{mebibytes:0.0}" : "failed";

    private double? Idle(ContainerRuntime runtime, string count) =>
        measurement.Idle.TryGetValue((runtime.Name, count), out var values) ? Math.Round(Median(values), 1) : null;

    private double? Rate(ContainerRuntime runtime, string direction) =>
        measurement.Rates.TryGetValue((runtime.Name, direction), out var rate) ? Math.Round(rate) : null;

    private object? Numbers(ContainerRuntime runtime, string operation) => measurement.Series.TryGetValue((runtime.Name, operation), out var series)
        ? new
        {
            wallMilliseconds = series.Costs.Select(cost => Math.Round(cost.WallSeconds * 1000, 1)),
            cpuMilliseconds = series.Costs.Select(cost => Math.Round(cost.CpuSeconds * 1000, 1)),
            failures = series.Failures,
        }
        : null;

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static string Line(string text) => text.Length <= 200 ? text : text[..200] + "…";

    private static string Processor() => File.ReadLines("/proc/cpuinfo")
        .Where(line => line.StartsWith("model name", StringComparison.Ordinal)).Select(line => line.Split(':')[1].Trim()).FirstOrDefault("unknown");
}
