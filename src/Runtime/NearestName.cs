namespace KataLike.Runtime;

/// <summary>For messages about names that do not exist.</summary>
internal static class NearestName
{
    public static string To(string name, IEnumerable<string> known) => known.MinBy(candidate => Distance(name, candidate))!;

    /// <summary>How many letters must be added, dropped or changed (Levenshtein).</summary>
    private static int Distance(string one, string other)
    {
        // Of a hostile name the beginning is enough.
        one = one[..Math.Min(one.Length, 100)];
        var row = Enumerable.Range(0, other.Length + 1).ToArray();
        for (var i = 1; i <= one.Length; i++)
        {
            var (diagonal, previous) = (row[0], row[0] = i);
            for (var j = 1; j <= other.Length; j++)
            {
                previous = Math.Min(Math.Min(row[j], previous) + 1, diagonal + (one[i - 1] == other[j - 1] ? 0 : 1));
                (diagonal, row[j]) = (row[j], previous);
            }
        }
        return row[^1];
    }
}
