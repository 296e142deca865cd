namespace KataLike.Benchmarks;

/// <summary>The middle of some values, and how far they spread.</summary>
internal sealed record Statistics(double Median, double Minimum, double Maximum)
{
    /// <summary>Null of no values.</summary>
    public static Statistics? Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length == 0 ? null : new((sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2, sorted[0], sorted[^1]);
    }
}
