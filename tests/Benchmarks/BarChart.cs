using System.Globalization;
using KataLike.Runtime;

namespace KataLike.Benchmarks;

/// <param name="Value">Null: there is none.</param>
internal sealed record Bar(string Name, Statistics? Value);

/// <summary>Bars that are compared with each other, on a scale of their own.</summary>
/// <param name="Format">Of the values.</param>
internal sealed record BarGroup(string Title, string Unit, string Format, IReadOnlyList<Bar> Bars);

/// <summary>
/// Groups of bars, two beside each other. The runtimes are up to a hundred times apart, and so are the operations: each group
/// has its own scale, from zero, and each bar says its median; the line over it goes from the least to the greatest value.
/// </summary>
internal static class BarChart
{
    private const double Width = 860, Margin = 16, Top = 92, Cell = (Width - 3 * Margin) / 2, Row = 18, Head = 24, Foot = 16;
    private const double Names = 96, Values = 78;

    public static string Draw(string title, string note, IReadOnlyList<BarGroup> groups)
    {
        var names = groups.SelectMany(group => group.Bars).Select(bar => bar.Name).Distinct().ToList();
        var height = Head + names.Count * Row + Foot;
        var svg = new Svg(Width, Top + (groups.Count + 1) / 2 * height, title);
        svg.Text(Margin, 26, title, style: Style.Title);
        svg.Text(Margin, 44, note, style: Style.Quiet);
        Legend.Draw(svg, Margin, 68, [.. names.Select((name, i) => (name, Svg.Palette[i % Svg.Palette.Length]))]);
        for (var i = 0; i < groups.Count; i++)
            Draw(svg, groups[i], Margin + i % 2 * (Cell + Margin), Top + i / 2 * height, names);
        return svg.ToString();
    }

    private static void Draw(Svg svg, BarGroup group, double left, double top, List<string> names)
    {
        var (zero, length) = (left + Names, Cell - Names - Values);
        var greatest = group.Bars.Max(bar => bar.Value?.Maximum) is { } maximum and > 0 ? maximum : 1;
        double X(double value) => zero + value / greatest * length;
        svg.Text(left, top + 12, $"{group.Title}, {group.Unit}", style: Style.Strong);
        for (var i = 0; i < group.Bars.Count; i++)
        {
            var (bar, y) = (group.Bars[i], top + Head + i * Row);
            svg.Text(zero - 8, y + 11, bar.Name, Anchor.End, Style.Quiet);
            if (bar.Value is not { } value)
            {
                svg.Text(zero + 4, y + 11, "–", style: Style.Quiet);
                continue;
            }
            var text = value.Median.ToString(group.Format, CultureInfo.InvariantCulture);
            svg.Rectangle(zero, y, Math.Max(1, X(value.Median) - zero), Row - 5, Svg.Palette[names.IndexOf(bar.Name) % Svg.Palette.Length], $"{bar.Name}: {text} {group.Unit}");
            if (value.Maximum > value.Minimum)
                svg.Mark(X(value.Minimum), y + (Row - 5) / 2, X(value.Maximum), y + (Row - 5) / 2);
            svg.Text(X(value.Maximum) + 6, y + 11, text);
        }
        svg.Rule(zero, top + Head - 3, zero, top + Head + group.Bars.Count * Row - 2);
    }
}
