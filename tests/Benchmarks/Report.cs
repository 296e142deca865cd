using System.Globalization;
using System.Text;
using System.Text.Json;

namespace KataLike.Benchmarks;

/// <summary>The results as a table for people and as JSON for programs.</summary>
internal sealed class Report(Results results, IReadOnlyList<ContainerRuntime> runtimes, int runs)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private static readonly Figure[] Figures = [.. IdleSandboxes.Figures, .. Paths.Figures, .. Throughput.Figures];

    private const string Begin = "<!-- bench:begin -->", End = "<!-- bench:end -->";

    public string Table()
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"Median of {runs} interleaved runs on {Host.Line}: wall time / CPU time of all host processes, in ms.");
        text.AppendLine();
        text.AppendLine("| | " + string.Join(" | ", runtimes.Select(runtime => runtime.Title)) + " |");
        text.AppendLine("|---|" + string.Concat(Enumerable.Repeat("---:|", runtimes.Count)));
        foreach (var operation in Life.Operations)
            text.AppendLine($"| `{operation}` | " + string.Join(" | ", runtimes.Select(runtime => Cell(results.Of(runtime, operation)))) + " |");
        foreach (var figure in Figures)
            text.AppendLine($"| {figure.Name}, {figure.Unit} | " + string.Join(" | ", runtimes.Select(runtime => Cell(runtime, figure))) + " |");
        text.AppendLine();
        text.AppendLine(string.Join("; ", runtimes.Select(runtime => $"{runtime.Title}: `{runtime.Version}`{string.Concat(runtime.ShownFlags.Select(flag => $" `{flag}`"))}")) + ".");
        foreach (var runtime in runtimes)
        {
            foreach (var (part, messages) in results.Failures(runtime))
                text.AppendLine(CultureInfo.InvariantCulture, $"\n{runtime.Title} {part} failed {messages.Count} times, last: `{Line(messages[^1])}`");
        }
        return text.ToString();
    }

    public string Json() => JsonSerializer.Serialize(
        new
        {
            at = DateTimeOffset.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
            runs,
            host = Host.Description,
            runtimes = runtimes.Select(runtime => new
            {
                name = runtime.Title,
                version = runtime.Version,
                flags = runtime.ShownFlags,
                operations = Life.Operations.ToDictionary(operation => operation, operation => Numbers(results.Of(runtime, operation))),
                figures = Figures.ToDictionary(figure => figure.Name, figure => new { unit = figure.Unit, values = results.Of(runtime, figure).Select(value => Math.Round(value, 2)) }),
                failures = results.Failures(runtime).ToDictionary(failure => failure.Part, failure => failure.Messages),
            }),
        },
        Indented);

    /// <summary>Wall and CPU time of each operation beside each other.</summary>
    public string OperationsPicture() => BarChart.Draw(
        "Wall and CPU time of a container's life", $"median of {runs} interleaved runs, line: least to greatest; {Host.Line}",
        [
            .. from operation in Life.Operations
               from clock in (string[])["wall", "CPU"]
               select new BarGroup($"{operation}: {clock}", "ms", "0", [.. runtimes.Select(runtime => new Bar(runtime.Title, Statistics.Of(
                   results.Of(runtime, operation).Costs.Select(cost => 1000 * (clock == "CPU" ? cost.CpuSeconds : cost.WallSeconds)))))]),
        ]);

    public string FiguresPicture() => BarChart.Draw(
        "Idle sandboxes, files, streams and network", $"median and, where measured more than once, least to greatest; {Host.Line}",
        [
            .. Figures.Select(figure => new BarGroup(
                figure.Name, figure.MoreIsBetter ? $"{figure.Unit} (more is better)" : figure.Unit, figure.Format,
                [.. runtimes.Select(runtime => new Bar(runtime.Title, Statistics.Of(results.Of(runtime, figure))))])),
        ]);

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

    private static string Cell(Series series)
    {
        var failed = series.Failures.Count > 0 ? $"failed {series.Failures.Count} of {series.Failures.Count + series.Costs.Count}" : "";
        var (wall, cpu) = (Statistics.Of(series.Costs.Select(cost => cost.WallSeconds)), Statistics.Of(series.Costs.Select(cost => cost.CpuSeconds)));
        return wall is not null && cpu is not null ? $"{wall.Median * 1000:0} / {cpu.Median * 1000:0} {failed}".Trim() : failed.Length > 0 ? failed : "not reached";
    }

    private string Cell(ContainerRuntime runtime, Figure figure) =>
        Statistics.Of(results.Of(runtime, figure)) is { } found ? found.Median.ToString(figure.Format, CultureInfo.InvariantCulture) : "not measured";

    private static object Numbers(Series series) => new
    {
        wallMilliseconds = series.Costs.Select(cost => Math.Round(cost.WallSeconds * 1000, 1)),
        cpuMilliseconds = series.Costs.Select(cost => Math.Round(cost.CpuSeconds * 1000, 1)),
    };

    private static string Line(string text) => text.ReplaceLineEndings(" ") is { Length: > 200 } one ? one[..200] + "…" : text.ReplaceLineEndings(" ");
}
