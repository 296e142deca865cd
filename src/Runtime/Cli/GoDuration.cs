using System.Globalization;
using System.Text.RegularExpressions;

namespace KataLike.Runtime.Cli;

/// <summary>Durations as Go writes them: "1m30s", "500ms", "0".</summary>
internal static partial class GoDuration
{
    /// <summary>Null for what Go does not read, and for what is longer than a TimeSpan holds.</summary>
    public static TimeSpan? Parse(string text)
    {
        if (text == "0")
            return TimeSpan.Zero;
        if (!Form().IsMatch(text))
            return null;
        var milliseconds = 0.0;
        foreach (Match part in Part().Matches(text))
        {
            milliseconds += double.Parse(part.Groups[1].ValueSpan, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture) *
                part.Groups[2].Value switch { "ns" => 1e-6, "ms" => 1, "s" => 1e3, "m" => 6e4, "h" => 3.6e6, _ => 1e-3 };
        }
        if (milliseconds > TimeSpan.MaxValue.TotalMilliseconds / 2)
            return null;
        return TimeSpan.FromMilliseconds(text[0] == '-' ? -milliseconds : milliseconds);
    }

    [GeneratedRegex(@"^[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$", RegexOptions.CultureInvariant)]
    private static partial Regex Form();

    [GeneratedRegex(@"([0-9]*\.?[0-9]*)(ns|us|µs|μs|ms|s|m|h)", RegexOptions.CultureInvariant)]
    private static partial Regex Part();
}
