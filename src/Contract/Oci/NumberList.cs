using System.Globalization;

namespace KataLike.Contract.Oci;

/// <summary>Processors or memory nodes as cpuset(7) lists them: "0-3,7".</summary>
public sealed record NumberList(IReadOnlyList<(int First, int Last)> Ranges)
{
    /// <summary>How many are named.</summary>
    public long Count => Ranges.Sum(range => range.Last - (long)range.First + 1);

    /// <summary>Null where the text is no such list.</summary>
    public static NumberList? TryParse(string text)
    {
        var ranges = new List<(int, int)>();
        foreach (var part in text.Trim().Split(','))
        {
            var ends = part.Split('-');
            if (ends.Length > 2 || !TryNumber(ends[0], out var first) || !TryNumber(ends[^1], out var last) || last < first)
                return null;
            ranges.Add((first, last));
        }
        return new NumberList(ranges);
    }

    /// <param name="all">As the kernel writes it: each range is as long as it can be.</param>
    public bool IsWithin(NumberList all) =>
        Ranges.All(range => all.Ranges.Any(other => other.First <= range.First && range.Last <= other.Last));

    private static bool TryNumber(string text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
