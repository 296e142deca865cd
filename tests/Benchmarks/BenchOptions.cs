using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>What ./dev bench was asked for.</summary>
/// <param name="Only">Keys of runtimes; null: all.</param>
/// <param name="Output">A directory for JSON and pictures; null: docs/benchmarks, but nothing for a part of the runtimes.</param>
internal sealed record BenchOptions(int Runs, IReadOnlyList<string>? Only, string? Output)
{
    public const string Usage = """
        usage (as root): ./dev bench [--runs N] [--only katalike,runc] [--output DIRECTORY]
        A part of the runtimes is a trial: its results are written only where --output says.
        """;

    /// <summary>Null: not understood.</summary>
    public static BenchOptions? Parse(IReadOnlyList<string> arguments)
    {
        var options = new BenchOptions(5, null, null);
        for (var i = 0; i < arguments.Count; i += 2)
        {
            if (i + 1 == arguments.Count)
                return null;
            var value = arguments[i + 1];
            var number = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var parsed) && parsed > 0;
            switch (arguments[i])
            {
                case "--runs" when number: options = options with { Runs = parsed }; break;
                case "--only": options = options with { Only = value.Split(',') }; break;
                case "--output": options = options with { Output = Path.GetFullPath(value) }; break;
                default: return null;
            }
        }
        return options;
    }

    /// <summary>Where results go; null: nowhere.</summary>
    public string? Directory(string repository) => Output ?? (Only is null ? $"{repository}/docs/benchmarks" : null);
}
