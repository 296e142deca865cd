namespace KataLike.Benchmarks;

/// <summary>Runs the operations of one container, in the order of its life, and takes the cost of each.</summary>
internal sealed class Life(string rootfs, Results results)
{
    /// <summary>A further container of a pod: under katalike it needs no machine of its own.</summary>
    private const string Second = "create, second of a pod";

    /// <summary>Under emulation the first exec is also the first translation of what it runs.</summary>
    private const string Again = "exec, again";

    /// <summary>In the order of the table.</summary>
    public static readonly string[] Operations = ["run echo", "create", "start", "exec", Again, "ps", "pause", "resume", "update", Second, "kill", "delete"];

    /// <summary>One run that is not counted, and all that it makes for later ones in the background.</summary>
    /// <exception cref="CommandFailedException">The runtime failed.</exception>
    public void WarmUp(ContainerRuntime runtime)
    {
        using var place = new Place();
        using var scope = new Scope();
        scope.Run(runtime.Command(place.Root, "run", "--bundle", Bundle.Make(place.Bundle, rootfs, "true"), "warm-up"));
        scope.Drain(TimeSpan.FromMinutes(2));
    }

    /// <summary>Where the time of one run of ours goes: timeline.svg, or timeline-VARIANT.svg.</summary>
    /// <exception cref="CommandFailedException">The runtime failed.</exception>
    public void Draw(ContainerRuntime runtime, string directory)
    {
        using var place = new Place();
        using var scope = new Scope();
        Directory.CreateDirectory(directory);
        var file = $"{directory}/timeline{(runtime.Variant is { } variant ? $"-{variant}" : "")}.svg";
        scope.Run(runtime.Command(place.Root, "run", $"--timeline={file}", "--bundle", Bundle.Make(place.Bundle, rootfs, "echo", "hello"), "timeline"));
        scope.Drain(TimeSpan.FromSeconds(10));
    }

    public void Measure(ContainerRuntime runtime)
    {
        using var place = new Place();
        using (var scope = new Scope())
        {
            Take(runtime, "run echo", () =>
            {
                var cost = scope.Run(runtime.Command(place.Root, "run", "--bundle", Bundle.Make(place.Bundle, rootfs, "echo", "hello"), "echo"));
                if (scope.Output != "hello")
                    throw new CommandFailedException($"printed \"{scope.Output}\" in place of hello");
                // What goes on after the command has returned is part of its CPU time.
                scope.Drain(TimeSpan.FromSeconds(10));
                return cost with { CpuSeconds = scope.CpuSeconds };
            });
        }
        using (var scope = new Scope())
        {
            var bundle = Bundle.MakeInPod(place.Bundle, rootfs, pod: "life", first: true, "sleep", "100000");
            var lives = Take(runtime, "create", () => scope.Run(runtime.Command(place.Root, "create", "--bundle", bundle, "life"))) &&
                Take(runtime, "start", () => scope.Run(runtime.Command(place.Root, "start", "life")));
            if (lives)
            {
                Use(runtime, scope, place);
                _ = Take(runtime, "kill", () => Kill(runtime, scope, place.Root, "life")) &&
                    Take(runtime, "delete", () => scope.Run(runtime.Command(place.Root, "delete", "life")));
            }
            scope.Try(runtime.Command(place.Root, "delete", "--force", "life"));
        }
    }

    /// <summary>What can be done with a running container, each whether or not a runtime can do the others.</summary>
    private void Use(ContainerRuntime runtime, Scope scope, Place place)
    {
        Take(runtime, "exec", () => scope.Run(runtime.Command(place.Root, "exec", "life", "true")));
        Take(runtime, Again, () => scope.Run(runtime.Command(place.Root, "exec", "life", "true")));
        Take(runtime, "ps", () => scope.Run(runtime.Command(place.Root, "ps", "life")));
        _ = Take(runtime, "pause", () => scope.Run(runtime.Command(place.Root, "pause", "life"))) &&
            Take(runtime, "resume", () => scope.Run(runtime.Command(place.Root, "resume", "life")));
        Take(runtime, "update", () => scope.Run(runtime.Command(place.Root, "update", "--cpu-share", "512", "life")));
        var bundle = Bundle.MakeInPod($"{place.Bundle}-second", rootfs, pod: "life", first: false, "sleep", "100000");
        Take(runtime, Second, () => scope.Run(runtime.Command(place.Root, "create", "--bundle", bundle, "second")));
        scope.Try(runtime.Command(place.Root, "delete", "--force", "second"));
    }

    private bool Take(ContainerRuntime runtime, string operation, Func<Cost> run)
    {
        try
        {
            results.Of(runtime, operation).Costs.Add(run());
            return true;
        }
        catch (CommandFailedException failure)
        {
            results.Of(runtime, operation).Failures.Add(failure.Message);
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
}
