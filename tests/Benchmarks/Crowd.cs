namespace KataLike.Benchmarks;

/// <summary>Sandboxes of one runtime in each of which one process sleeps.</summary>
internal sealed class Crowd : IDisposable
{
    private readonly ContainerRuntime _runtime;
    private readonly Place _place;
    private readonly Scope _scope = new();
    private readonly string _bundle;

    public Crowd(ContainerRuntime runtime, Place place, string rootfs)
    {
        (_runtime, _place) = (runtime, place);
        _bundle = Bundle.Make(place.Bundle, rootfs, "sleep", "100000");
    }

    public int Count { get; private set; }

    public double CpuSeconds => _scope.CpuSeconds;

    public double Mebibytes => Memory.Mebibytes(_scope.Processes, _place.Root);

    /// <summary>Until there are so many.</summary>
    /// <returns>What each that came cost.</returns>
    /// <exception cref="CommandFailedException">The runtime failed.</exception>
    public IReadOnlyList<Cost> GrowTo(int count)
    {
        var costs = new List<Cost>();
        while (Count < count)
        {
            var id = $"idle{++Count}";
            var created = _scope.Run(_runtime.Command(_place.Root, "create", "--bundle", _bundle, id));
            var started = _scope.Run(_runtime.Command(_place.Root, "start", id));
            costs.Add(new(created.WallSeconds + started.WallSeconds, created.CpuSeconds + started.CpuSeconds));
        }
        return costs;
    }

    public void Dispose()
    {
        for (; Count > 0; Count--)
            _scope.Try(_runtime.Command(_place.Root, "delete", "--force", $"idle{Count}"));
        _scope.Dispose();
    }
}
