namespace KataLike.Benchmarks;

/// <summary>Measures the runtimes beside each other, one after another in each run, so that a slow minute of the machine is everybody's.</summary>
internal static class Comparison
{
    /// <returns>The exit code: not zero when something of ours failed.</returns>
    public static int Run(string repository, BenchOptions options, IReadOnlyList<ContainerRuntime> runtimes)
    {
        var rootfs = $"{repository}/out/images/busybox/rootfs";
        var results = new Results();
        var life = new Life(rootfs, results);
        Each("warm-up", runtimes, results, life.WarmUp);
        for (var run = 1; run <= options.Runs; run++)
        {
            if (options.Has("life"))
                Each($"run {run} of {options.Runs}", runtimes, results, life.Measure);
            if (options.Has("files"))
                Each($"files and streams, run {run} of {options.Runs}", runtimes, results, runtime => Paths.Measure(runtime, rootfs, results));
        }
        if (options.Has("idle"))
            Each("idle", runtimes, results, runtime => IdleSandboxes.Measure(runtime, rootfs, results));
        if (options.Has("timeline") && options.Directory(repository) is { } pictures)
            Each("timeline", runtimes.Where(runtime => runtime.IsOurs), results, runtime => life.Draw(runtime, pictures));
        if (Throughput.Missing is { } missing)
            Console.Error.WriteLine($"network: not measured: {missing}");
        else if (options.Has("network"))
            Each("network", runtimes, results, runtime => Throughput.Measure(runtime, rootfs, results));

        var report = new Report(results, runtimes, options.Runs);
        var table = report.Table();
        Console.WriteLine(table);
        if (options.Directory(repository) is { } output)
        {
            Directory.CreateDirectory(output);
            File.WriteAllText($"{output}/latest.json", report.Json() + "\n");
            File.WriteAllText($"{output}/operations.svg", report.OperationsPicture());
            File.WriteAllText($"{output}/figures.svg", report.FiguresPicture());
        }
        if (!options.IsTrial && options.Output is null)
            Report.Replace($"{repository}/docs/specification.md", table);
        return runtimes.Any(runtime => runtime.IsOurs && results.Failures(runtime).Any()) ? 1 : 0;
    }

    private static void Each(string part, IEnumerable<ContainerRuntime> runtimes, Results results, Action<ContainerRuntime> measure)
    {
        foreach (var runtime in runtimes)
        {
            Console.Error.WriteLine($"{part}: {runtime.Title}");
            results.Try(runtime, part, () => measure(runtime));
        }
    }
}
