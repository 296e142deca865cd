using System.Diagnostics;
using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>What one command cost. CPU counts user and system time of every process in the scope while it ran, daemons included.</summary>
internal sealed record Cost(double WallSeconds, double CpuSeconds);

/// <summary>A command that a runtime refused or that took too long.</summary>
internal sealed class CommandFailedException(string message) : Exception(message);

/// <summary>
/// A cgroup of its own for all processes of one runtime's run. Daemons cannot leave it by detaching, and a container's own
/// cgroup lies below it, so that its counter knows all of the CPU and its lists all of the processes.
/// </summary>
internal sealed class Scope : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static int _count;

    private readonly string _directory;
    private readonly bool _unified;
    private readonly string _logs = Directory.CreateTempSubdirectory("kl-bench-").FullName;

    public Scope()
    {
        _unified = File.Exists("/sys/fs/cgroup/cgroup.controllers");
        var hierarchy = _unified ? "/sys/fs/cgroup" : new[] { "/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct" }.First(Directory.Exists);
        _directory = $"{hierarchy}/kl-bench-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}";
        Directory.CreateDirectory(_directory);
    }

    /// <summary>CPU time of all processes that are or were in the scope.</summary>
    public double CpuSeconds => _unified
        ? double.Parse(File.ReadLines($"{_directory}/cpu.stat").First(line => line.StartsWith("usage_usec ", StringComparison.Ordinal))[11..], CultureInfo.InvariantCulture) / 1e6
        : double.Parse(File.ReadAllText($"{_directory}/cpuacct.usage"), CultureInfo.InvariantCulture) / 1e9;

    public IReadOnlyList<int> Processes =>
    [
        .. new[] { _directory }.Concat(Directory.EnumerateDirectories(_directory, "*", SearchOption.AllDirectories))
            .SelectMany(directory => File.ReadAllLines($"{directory}/cgroup.procs")).Select(int.Parse).Distinct(),
    ];

    /// <summary>Runs a command in the scope with its streams on files, so that what it leaves running holds nothing of ours.</summary>
    /// <exception cref="CommandFailedException">It failed: with what it wrote to standard error.</exception>
    public Cost Run(IReadOnlyList<string> command)
    {
        var (output, error) = ($"{_logs}/out", $"{_logs}/err");
        var start = new ProcessStartInfo("/bin/sh", ["-c", "echo $$ > \"$0/cgroup.procs\"; o=$1 e=$2; shift 2; exec \"$@\" </dev/null >$o 2>$e", _directory, output, error, .. command]);
        var before = CpuSeconds;
        var watch = Stopwatch.StartNew();
        using var process = Process.Start(start)!;
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            throw new CommandFailedException($"{string.Join(' ', command)}: no end within {Patience.TotalSeconds:0} s");
        }
        if (process.ExitCode != 0)
            throw new CommandFailedException($"{string.Join(' ', command)}: exit code {process.ExitCode}: {LastLine(error)}");
        var wall = watch.Elapsed.TotalSeconds;
        return new Cost(wall, CpuSeconds - before);
    }

    /// <summary>Starts a command in the scope whose standard input and output are ours.</summary>
    public Process Start(IReadOnlyList<string> command) => Process.Start(
        new ProcessStartInfo("/bin/sh", ["-c", "echo $$ > \"$0/cgroup.procs\"; exec \"$@\"", _directory, .. command])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;

    /// <summary>For what may have been done already, or never made: the scope's end kills what is left.</summary>
    public void Try(IReadOnlyList<string> command)
    {
        try
        {
            Run(command);
        }
        catch (CommandFailedException)
        {
        }
    }

    /// <summary>Standard output of the last command.</summary>
    public string Output => File.ReadAllText($"{_logs}/out").Trim();

    /// <summary>Waits until every process of the scope has ended; false when some stay.</summary>
    public bool Drain(TimeSpan patience)
    {
        for (var watch = Stopwatch.StartNew(); Processes.Count > 0;)
        {
            if (watch.Elapsed > patience)
                return false;
            Thread.Sleep(5);
        }
        return true;
    }

    public void Dispose()
    {
        if (!Drain(TimeSpan.FromSeconds(2)))
        {
            foreach (var pid in Processes)
                Process.Start("/bin/kill", ["-9", $"{pid}"]).WaitForExit();
            Drain(TimeSpan.FromSeconds(10));
        }
        foreach (var child in Directory.EnumerateDirectories(_directory, "*", SearchOption.AllDirectories).OrderByDescending(path => path.Length))
            Directory.Delete(child);
        Directory.Delete(_directory);
        Directory.Delete(_logs, recursive: true);
    }

    private static string LastLine(string file) => File.ReadLines(file).LastOrDefault(line => line.Length > 0) ?? "(silent)";
}
