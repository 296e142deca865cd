namespace KataLike.Benchmarks;

/// <summary>What was found for one operation of one runtime over all runs.</summary>
internal sealed class Series
{
    public List<Cost> Costs { get; } = [];

    public List<string> Failures { get; } = [];
}

/// <summary>A figure that is not the cost of a command.</summary>
/// <param name="Format">Of its values in the table.</param>
internal sealed record Figure(string Name, string Unit, string Format, bool MoreIsBetter = false);

/// <summary>All that was measured, by the runtime's title.</summary>
internal sealed class Results
{
    private readonly Dictionary<(string Runtime, string Operation), Series> _series = [];
    private readonly Dictionary<(string Runtime, Figure Figure), List<double>> _values = [];

    public Series Of(ContainerRuntime runtime, string operation) => Item(_series, (runtime.Title, operation));

    /// <summary>Empty where it was not measured.</summary>
    public List<double> Of(ContainerRuntime runtime, Figure figure) => Item(_values, (runtime.Title, figure));

    /// <summary>What failed, and in which part of the measurements.</summary>
    public IEnumerable<(string Part, List<string> Messages)> Failures(ContainerRuntime runtime) =>
        from entry in _series
        where entry.Key.Runtime == runtime.Title && entry.Value.Failures.Count > 0
        select (entry.Key.Operation, entry.Value.Failures);

    /// <summary>Runs a part of the measurements; what fails in it is noted.</summary>
    public void Try(ContainerRuntime runtime, string part, Action action)
    {
        try
        {
            action();
        }
        catch (Exception failure) when (failure is CommandFailedException or IOException or FormatException or AggregateException)
        {
            Of(runtime, part).Failures.Add(failure.Message);
        }
    }

    private static TValue Item<TKey, TValue>(Dictionary<TKey, TValue> items, TKey key)
        where TKey : notnull where TValue : new() => items.TryGetValue(key, out var item) ? item : items[key] = new TValue();
}
