namespace KataLike.Benchmarks;

/// <summary>What sandboxes cost the host in which one process sleeps, after they have had time to settle.</summary>
internal static class IdleSandboxes
{
    public static readonly Figure One = new("1 idle, memory", "MiB", "0.0");
    public static readonly Figure Five = new("5 idle, memory", "MiB", "0.0");
    public static readonly Figure Further = new("each further idle, memory", "MiB", "0.0");
    public static readonly Figure OneCpu = new("1 idle, CPU time in 10 s", "ms", "0");
    public static readonly Figure FiveCpu = new("5 idle, CPU time in 10 s", "ms", "0");

    public static readonly Figure[] Figures = [One, Five, Further, OneCpu, FiveCpu];

    private const int Count = 5;
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(5), Watching = TimeSpan.FromSeconds(10);

    /// <exception cref="CommandFailedException">The runtime failed.</exception>
    public static void Measure(ContainerRuntime runtime, string rootfs, Results results)
    {
        using var place = new Place();
        using var crowd = new Crowd(runtime, place, rootfs);
        crowd.GrowTo(1);
        var (one, cpu) = Watch(crowd);
        results.Of(runtime, One).Add(one);
        results.Of(runtime, OneCpu).Add(cpu);
        crowd.GrowTo(Count);
        var (five, cpuOfFive) = Watch(crowd);
        results.Of(runtime, Five).Add(five);
        results.Of(runtime, FiveCpu).Add(cpuOfFive);
        results.Of(runtime, Further).Add((five - one) / (Count - 1));
    }

    /// <summary>Memory in MiB; CPU time in milliseconds of all processes over ten seconds, in which nobody asks anything.</summary>
    private static (double Mebibytes, double Milliseconds) Watch(Crowd crowd)
    {
        Thread.Sleep(Settling);
        var before = crowd.CpuSeconds;
        Thread.Sleep(Watching);
        var used = (crowd.CpuSeconds - before) * 1000;
        return (crowd.Mebibytes, used);
    }
}
