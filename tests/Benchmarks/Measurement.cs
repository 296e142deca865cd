namespace KataLike.Benchmarks;

/// <summary>What was found for one operation of one runtime over all runs.</summary>
internal sealed class Series
{
    public List<Cost> Costs { get; } = [];

    public List<string> Failures { get; } = [];
}

/// <summary>Runs the operations of one container, in the order of its life, and takes the cost of each.</summary>
internal sealed class Measurement(string repository)
{
    /// <summary>A further container of a pod: under katalike it needs no machine of its own.</summary>
    private const string Second = "create, second of a pod";

    public static readonly string[] Operations = ["run echo", "create", "start", "exec", "ps", "pause", "resume", "update", Second, "kill", "delete"];
    public static readonly string[] Memories = ["1 idle", "5 idle"];

    private readonly string _rootfs = $"{repository}/out/images/busybox/rootfs";

    /// <summary>By runtime and operation.</summary>
    public Dictionary<(string Runtime, string Operation), Series> Series { get; } = [];

    /// <summary>Mebibytes in the place of seconds.</summary>
    public Dictionary<(string Runtime, string Count), List<double>> Idle { get; } = [];

    /// <summary>Megabits a second.</summary>
    public Dictionary<(string Runtime, string Direction), double> Rates { get; } = [];

    public void Life(ContainerRuntime runtime)
    {
        using var place = new Place();
        using (var scope = new Scope())
        {
            Take(runtime, "run echo", () =>
            {
                var cost = scope.Run(runtime.Command(place.Root, "run", "--bundle", Bundle.Make(place.Bundle, _rootfs, "echo", "hello"), "echo"));
                if (scope.Output != "hello")
                    throw new CommandFailedException($"printed \"{scope.Output}\" in place of hello");
                // What goes on after the command has returned is part of its CPU time.
                scope.Drain(TimeSpan.FromSeconds(10));
                return cost with { CpuSeconds = scope.CpuSeconds };
            });
        }
        using (var scope = new Scope())
        {
            var bundle = Bundle.MakeInPod(place.Bundle, _rootfs, pod: "life", first: true, "sleep", "100000");
            var lives = Take(runtime, "create", () => scope.Run(runtime.Command(place.Root, "create", "--bundle", bundle, "life"))) &&
                Take(runtime, "start", () => scope.Run(runtime.Command(place.Root, "start", "life")));
            if (lives)
            {
                Use(runtime, scope, place);
                _ = Take(runtime, "kill", () => Kill(runtime, scope, place.Root, "life")) &&
                    Take(runtime, "delete", () => scope.Run(runtime.Command(place.Root, "delete", "life")));
            }
            Remove(runtime, scope, place.Root, "life");
        }
    }

    /// <summary>What can be done with a running container, each whether or not a runtime can do the others.</summary>
    private void Use(ContainerRuntime runtime, Scope scope, Place place)
    {
        Take(runtime, "exec", () => scope.Run(runtime.Command(place.Root, "exec", "life", "true")));
        Take(runtime, "ps", () => scope.Run(runtime.Command(place.Root, "ps", "life")));
        _ = Take(runtime, "pause", () => scope.Run(runtime.Command(place.Root, "pause", "life"))) &&
            Take(runtime, "resume", () => scope.Run(runtime.Command(place.Root, "resume", "life")));
        Take(runtime, "update", () => scope.Run(runtime.Command(place.Root, "update", "--cpu-share", "512", "life")));
        var bundle = Bundle.MakeInPod($"{place.Bundle}-second", _rootfs, pod: "life", first: false, "sleep", "100000");
        Take(runtime, Second, () => scope.Run(runtime.Command(place.Root, "create", "--bundle", bundle, "second")));
        Remove(runtime, scope, place.Root, "second");
    }

    /// <summary>Memory of sandboxes in which one process sleeps, after they have had time to settle.</summary>
    public void Sleep(ContainerRuntime runtime, int count)
    {
        using var place = new Place();
        using var scope = new Scope();
        var ids = Enumerable.Range(1, count).Select(number => $"idle{number}").ToArray();
        var bundle = Bundle.Make(place.Bundle, _rootfs, "sleep", "100000");
        var name = $"{count} idle";
        try
        {
            foreach (var id in ids)
            {
                scope.Run(runtime.Command(place.Root, "create", "--bundle", bundle, id));
                scope.Run(runtime.Command(place.Root, "start", id));
            }
            Thread.Sleep(TimeSpan.FromSeconds(5));
            if (!Idle.TryGetValue((runtime.Name, name), out var list))
                Idle[(runtime.Name, name)] = list = [];
            list.Add(Memory.Mebibytes(scope.Processes));
        }
        catch (CommandFailedException failure)
        {
            Of(runtime, name).Failures.Add(failure.Message);
        }
        finally
        {
            foreach (var id in ids)
                Remove(runtime, scope, place.Root, id);
        }
    }

    /// <summary>How fast the container's network is; a runtime that was told to have none is left out.</summary>
    public void Network(ContainerRuntime runtime)
    {
        if (runtime.Flags.Contains("--network=none"))
            return;
        try
        {
            foreach (var (direction, rate) in Throughput.Measure(runtime, _rootfs))
                Rates[(runtime.Name, direction)] = rate;
        }
        catch (Exception failure) when (failure is CommandFailedException or IOException or FormatException)
        {
            Of(runtime, "network").Failures.Add(failure.Message);
        }
    }

    private bool Take(ContainerRuntime runtime, string operation, Func<Cost> run)
    {
        try
        {
            Of(runtime, operation).Costs.Add(run());
            return true;
        }
        catch (CommandFailedException failure)
        {
            Of(runtime, operation).Failures.Add(failure.Message);
            return false;
        }
    }

    /// <summary>Until the runtime says that the container has stopped; what asking costs is taken off the CPU time by one question.</summary>
    private static Cost Kill(ContainerRuntime runtime, Scope scope, string root, string id)
    {
        var killed = scope.Run(runtime.Command(root, "kill", id, "KILL"));
        var (wall, cpu) = (killed.WallSeconds, scope.CpuSeconds);
        for (var polls = 0; polls < 1000; polls++)
        {
            var asked = scope.Run(runtime.Command(root, "state", id));
            if (scope.Output.Contains("\"stopped\"", StringComparison.Ordinal))
                return killed;
            wall += asked.WallSeconds;
            killed = new Cost(wall, killed.CpuSeconds + Math.Max(0, scope.CpuSeconds - cpu - asked.CpuSeconds));
            cpu = scope.CpuSeconds;
        }
        throw new CommandFailedException($"{id} did not stop");
    }

    private static void Remove(ContainerRuntime runtime, Scope scope, string root, string id)
    {
        try
        {
            scope.Run(runtime.Command(root, "delete", "--force", id));
        }
        catch (CommandFailedException)
        {
            // Gone already, or never there: the scope's end kills what is left.
        }
    }

    private Series Of(ContainerRuntime runtime, string operation) =>
        Series.TryGetValue((runtime.Name, operation), out var series) ? series : Series[(runtime.Name, operation)] = new Series();

    /// <summary>A place for a state root and a bundle.</summary>
    private sealed class Place : IDisposable
    {
        private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kl-bench-");

        public string Root => $"{_directory.FullName}/root";

        public string Bundle => $"{_directory.FullName}/bundle";

        public void Dispose() => _directory.Delete(recursive: true);
    }
}
