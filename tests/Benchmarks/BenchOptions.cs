using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>What ./dev bench was asked for.</summary>
/// <param name="Only">Keys of runtimes; null: all.</param>
/// <param name="Parts">Of the measurements; null: all.</param>
/// <param name="Output">A directory for JSON and pictures; null: docs/benchmarks, but nothing of a trial.</param>
/// <param name="Density">How many sandboxes to crowd the machine with, in place of the comparison; null: the comparison.</param>
internal sealed record BenchOptions(int Runs, int? Density, IReadOnlyList<string>? Only, IReadOnlyList<string>? Parts, string? Output)
{
    public const string Usage = """
        usage (as root): ./dev bench [--runs N] [--only katalike,runc] [--parts life,files,idle,network,timeline] [--output DIRECTORY]
                         ./dev bench density [--max N] [--only katalike,runsc] [--output DIRECTORY]
        density: N idle sandboxes (20, or as many as fit) of each runtime, and what each costs as their number grows.
        A part of the runtimes or of the measurements is a trial: its results are written only where --output says.
        """;

    /// <summary>Null: not understood.</summary>
    public static BenchOptions? Parse(IReadOnlyList<string> arguments)
    {
        var density = arguments is ["density", ..];
        var options = new BenchOptions(5, density ? 20 : null, null, null, null);
        for (var i = density ? 1 : 0; i < arguments.Count; i += 2)
        {
            if (i + 1 == arguments.Count)
                return null;
            var value = arguments[i + 1];
            var number = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var parsed) && parsed > 0;
            switch (arguments[i])
            {
                case "--max" when number && density: options = options with { Density = parsed }; break;
                case "--runs" when number && !density: options = options with { Runs = parsed }; break;
                case "--only": options = options with { Only = value.Split(',') }; break;
                case "--parts" when !density: options = options with { Parts = value.Split(',') }; break;
                case "--output": options = options with { Output = Path.GetFullPath(value) }; break;
                default: return null;
            }
        }
        return options;
    }

    public bool IsTrial => Only is not null || Parts is not null;

    public bool Has(string part) => Parts?.Contains(part) != false;

    /// <summary>Where results go; null: nowhere.</summary>
    public string? Directory(string repository) => Output ?? (IsTrial ? null : $"{repository}/docs/benchmarks");
}
