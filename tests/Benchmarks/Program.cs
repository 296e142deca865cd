using System.Globalization;
using KataLike.Benchmarks;

// dotnet run -c Release --project tests/Benchmarks [-- --runs N] [--only NAME,NAME]
var runs = 5;
string[]? only = null;
for (var i = 0; i + 1 < args.Length; i += 2)
{
    if (args[i] == "--runs")
        runs = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
    else if (args[i] == "--only")
        only = args[i + 1].Split(',');
}
if (args.Length % 2 != 0 || runs < 1 || !Environment.IsPrivilegedProcess)
{
    Console.Error.WriteLine("usage (as root): ./dev bench [--runs N] [--only katalike,runc]");
    return 2;
}

var directory = new DirectoryInfo(AppContext.BaseDirectory);
while (directory is not null && !File.Exists($"{directory.FullName}/KataLike.sln"))
    directory = directory.Parent;
var repository = directory?.FullName ?? throw new DirectoryNotFoundException("KataLike.sln is not above the benchmarks");
var runtimes = ContainerRuntime.Installed(repository).Where(runtime => only is null || only.Contains(runtime.Name)).ToList();
var measurement = new Measurement(repository);
foreach (var run in Enumerable.Range(1, runs))
{
    foreach (var runtime in runtimes)
    {
        Console.Error.WriteLine($"run {run} of {runs}: {runtime.Name}");
        measurement.Life(runtime);
    }
}
foreach (var runtime in runtimes)
{
    Console.Error.WriteLine($"memory: {runtime.Name}");
    measurement.Sleep(runtime, 1);
    measurement.Sleep(runtime, 5);
}

if (Throughput.Missing is { } missing)
    Console.Error.WriteLine($"network: not measured: {missing}");
foreach (var runtime in runtimes.Where(_ => Throughput.Missing is null))
{
    Console.Error.WriteLine($"network: {runtime.Name}");
    measurement.Network(runtime);
}

var report = new Report(measurement, runtimes, runs);
var table = report.Table();
Console.WriteLine(table);
// A part of the runtimes is a trial, not a result to keep.
if (only is null)
{
    Directory.CreateDirectory($"{repository}/docs/benchmarks");
    File.WriteAllText($"{repository}/docs/benchmarks/latest.json", report.Json() + "\n");
    Report.Replace($"{repository}/docs/specification.md", table);
}
return measurement.Series.Any(entry => entry.Key.Runtime == "katalike" && entry.Value.Failures.Count > 0) ? 1 : 0;
