using KataLike.Benchmarks;

if (BenchOptions.Parse(args) is not { } options || !Environment.IsPrivilegedProcess)
{
    Console.Error.WriteLine(BenchOptions.Usage);
    return 2;
}
var directory = new DirectoryInfo(AppContext.BaseDirectory);
while (directory is not null && !File.Exists($"{directory.FullName}/KataLike.sln"))
    directory = directory.Parent;
var repository = directory?.FullName ?? throw new DirectoryNotFoundException("KataLike.sln is not above the benchmarks");
IReadOnlyList<ContainerRuntime> runtimes =
[
    // A machine that waits shares pages with those that are measured: only where it is asked for.
    .. from runtime in ContainerRuntime.Installed(repository)
       where options.Only?.Contains(runtime.Key) ?? !runtime.TakesFromPool
       select runtime with { Pool = MachinePool.Start(runtime) },
];
try
{
    return options.Density is { } most ? Density.Run(repository, options, runtimes, most) : Comparison.Run(repository, options, runtimes);
}
finally
{
    foreach (var runtime in runtimes)
        runtime.Pool?.Dispose();
}
