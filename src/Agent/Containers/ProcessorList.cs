using System.Globalization;

namespace KataLike.Agent.Containers;

/// <summary>Lists of processors as cpuset(7) writes them: "0-3,7". Their form has been checked with the document.</summary>
internal static class ProcessorList
{
    public static IReadOnlyList<int> Parse(string list) =>
    [
        .. list.Split(',').Select(range => range.Split('-')).SelectMany(range =>
        {
            var (first, last) = (Number(range[0]), Number(range[^1]));
            return Enumerable.Range(first, last - first + 1);
        }),
    ];

    private static int Number(string text) => int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture);
}
