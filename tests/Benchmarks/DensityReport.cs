using System.Globalization;
using System.Text;
using System.Text.Json;

namespace KataLike.Benchmarks;

/// <summary>The densities as a table, JSON, and a picture.</summary>
internal sealed class DensityReport(IReadOnlyList<DensitySeries> series)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public string Table()
    {
        var text = new StringBuilder("| | idle | MiB of each | last to first | CPU ms of the start | last to first | CPU ms of all in 10 idle s |\n|---|---:|---:|---:|---:|---:|---:|\n");
        foreach (var one in series.Where(one => one.Points.Count > 0))
        {
            var starts = one.Points.Select(point => point.CpuSeconds * 1000).ToList();
            var cell = one.IdleCpuMilliseconds is { } idle ? Text(idle) : "not measured";
            text.AppendLine($"| {one.Runtime} | {one.Points.Count} | {Text(one.Points[^1].Mebibytes / one.Points.Count)} | {Ratio(Each(one))} | {Text(Statistics.Of(starts)!.Median)} | {Ratio(starts)} | {cell} |");
        }
        foreach (var one in series.Where(one => one.Failure is not null))
            text.AppendLine(CultureInfo.InvariantCulture, $"\n{one.Runtime} failed after {one.Points.Count}: `{one.Failure}`");
        return text.ToString();
    }

    public string Json() => JsonSerializer.Serialize(
        new
        {
            at = DateTimeOffset.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
            host = Host.Description,
            runtimes = series.Select(one => new
            {
                name = one.Runtime,
                version = one.Version,
                idleCpuMillisecondsIn10Seconds = one.IdleCpuMilliseconds is { } idle ? Math.Round(idle, 1) : (double?)null,
                failure = one.Failure,
                points = one.Points.Select(point => new
                {
                    count = point.Count,
                    startWallMilliseconds = Math.Round(point.WallSeconds * 1000, 1),
                    startCpuMilliseconds = Math.Round(point.CpuSeconds * 1000, 1),
                    mebibytes = Math.Round(point.Mebibytes, 1),
                }),
            }),
        },
        Indented);

    public string Picture() => LineChart.Draw(
        "Idle sandboxes as their number grows",
        $"each runs one sleeping process; {Host.Line}",
        "sandboxes",
        [
            Panel("Memory of all, for each sandbox", "MiB", point => point.Mebibytes / point.Count),
            Panel("CPU time to create and start one more", "ms", point => point.CpuSeconds * 1000),
            Panel("Wall time to create and start one more", "ms", point => point.WallSeconds * 1000),
        ]);

    private Panel Panel(string title, string unit, Func<DensityPoint, double> value) =>
        new(title, unit, [.. series.Where(one => one.Points.Count > 0).Select(one => new Curve(one.Runtime, [.. one.Points.Select(point => ((double)point.Count, value(point)))]))]);

    /// <summary>What each added.</summary>
    private static List<double> Each(DensitySeries one) =>
        [.. one.Points.Select((point, i) => point.Mebibytes - (i == 0 ? 0 : one.Points[i - 1].Mebibytes))];

    /// <summary>Of the medians of the last and the first three: one may have met a slow moment of the machine.</summary>
    private static string Ratio(List<double> values) =>
        Text(Statistics.Of(values.TakeLast(3))!.Median / Statistics.Of(values.Take(3))!.Median);

    private static string Text(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);
}
