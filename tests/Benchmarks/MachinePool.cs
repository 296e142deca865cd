using System.Diagnostics;
using System.Text.Json;

namespace KataLike.Benchmarks;

/// <summary>katalike pool, for the variant whose sandboxes take machines that wait.</summary>
internal sealed class MachinePool : IDisposable
{
    /// <summary>As pool.toml has it: where the places of the measurements are, since a machine's directory becomes its sandbox's.</summary>
    private const string Directory = "/dev/shm/kl-bench-pool";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1), Pause = TimeSpan.FromMilliseconds(20);

    private readonly Process _keeper;

    private MachinePool(ContainerRuntime runtime) => _keeper = Process.Start(
        new ProcessStartInfo(runtime.Program, [.. runtime.Flags, "pool"]) { RedirectStandardOutput = true, RedirectStandardError = true })!;

    /// <summary>Null: the runtime's machines do not wait.</summary>
    public static MachinePool? Start(ContainerRuntime runtime) => runtime.TakesFromPool ? new MachinePool(runtime) : null;

    /// <summary>Waits until a machine is ready, and nothing is done any more to get one.</summary>
    public void Await()
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < Patience && !_keeper.HasExited; Thread.Sleep(Pause))
        {
            if (IsReady())
            {
                Thread.Sleep(Pause);
                return;
            }
        }
        throw new CommandFailedException("the pool has no machine ready within a minute");
    }

    private static bool IsReady()
    {
        try
        {
            var record = System.IO.Directory.GetFiles($"{Directory}/members", "sandbox.json", SearchOption.AllDirectories).SingleOrDefault();
            return record is not null && JsonDocument.Parse(File.ReadAllText(record)).RootElement.GetProperty("hypervisorPid").GetInt32() > 0;
        }
        catch (Exception error) when (error is IOException or JsonException)
        {
            return false;
        }
    }

    public void Dispose()
    {
        Process.Start("/bin/kill", [$"{_keeper.Id}"]).WaitForExit();
        _keeper.WaitForExit();
        if (System.IO.Directory.Exists(Directory))
            System.IO.Directory.Delete(Directory, recursive: true);
    }
}
