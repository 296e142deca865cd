using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>What there is after one more idle sandbox has been started.</summary>
/// <param name="Mebibytes">Of all.</param>
internal sealed record DensityPoint(int Count, double WallSeconds, double CpuSeconds, double Mebibytes);

/// <summary>All points of a runtime, and the CPU time that all of its sandboxes together used in ten seconds at the end.</summary>
internal sealed record DensitySeries(string Runtime, string Version, IReadOnlyList<DensityPoint> Points, double? IdleCpuMilliseconds, string? Failure);

/// <summary>Idle sandboxes until there are as many as were asked for or the machine's memory ends, and what each costs.</summary>
internal static class Density
{
    private const double FloorMebibytes = 1024, FloorShare = 0.1;
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1), Watching = TimeSpan.FromSeconds(10);

    /// <returns>The exit code: not zero when something of ours failed.</returns>
    public static int Run(string repository, BenchOptions options, IReadOnlyList<ContainerRuntime> runtimes, int most)
    {
        var rootfs = $"{repository}/out/images/busybox/rootfs";
        var series = runtimes.Select(runtime => Measure(runtime, rootfs, most)).ToList();
        var report = new DensityReport(series);
        Console.WriteLine(report.Table());
        if (options.Directory(repository) is { } output)
        {
            Directory.CreateDirectory(output);
            File.WriteAllText($"{output}/density.json", report.Json() + "\n");
            File.WriteAllText($"{output}/density.svg", report.Picture());
        }
        return runtimes.Zip(series).Any(pair => pair.First.IsOurs && pair.Second.Failure is not null) ? 1 : 0;
    }

    private static DensitySeries Measure(ContainerRuntime runtime, string rootfs, int most)
    {
        var points = new List<DensityPoint>();
        double? idle = null;
        string? failure = null;
        using var place = new Place();
        using var crowd = new Crowd(runtime, place, rootfs);
        try
        {
            new Life(rootfs, new Results()).WarmUp(runtime);
            while (points.Count < most && HasRoom())
            {
                var cost = crowd.GrowTo(points.Count + 1)[0];
                Thread.Sleep(Settling);
                points.Add(new(crowd.Count, cost.WallSeconds, cost.CpuSeconds, crowd.Mebibytes));
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{runtime.Title}: {crowd.Count} idle, {points[^1].Mebibytes:0} MiB"));
            }
            var before = crowd.CpuSeconds;
            Thread.Sleep(Watching);
            idle = (crowd.CpuSeconds - before) * 1000;
        }
        catch (CommandFailedException failed)
        {
            failure = failed.Message;
        }
        return new(runtime.Title, runtime.Version, points, idle, failure);
    }

    /// <summary>One more sandbox must not be what takes the machine down.</summary>
    private static bool HasRoom()
    {
        var figures = File.ReadLines("/proc/meminfo").Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .ToDictionary(fields => fields[0], fields => double.Parse(fields[1], CultureInfo.InvariantCulture) / 1024);
        return figures["MemAvailable:"] > Math.Max(FloorMebibytes, figures["MemTotal:"] * FloorShare);
    }
}
