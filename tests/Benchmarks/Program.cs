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
var runtimes = ContainerRuntime.Installed(repository).Where(runtime => options.Only?.Contains(runtime.Key) != false).ToList();
return options.Density is { } most ? Density.Run(repository, options, runtimes, most) : Comparison.Run(repository, options, runtimes);
