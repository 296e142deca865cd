using System.Globalization;
using KataLike.Runtime;

namespace KataLike.Benchmarks;

/// <summary>A named row of points, by rising X.</summary>
internal sealed record Curve(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Curves over one axis.</summary>
internal sealed record Panel(string Title, string Unit, IReadOnlyList<Curve> Curves);

/// <summary>Panels below each other over the same horizontal axis, which begins at zero as the vertical ones do.</summary>
internal static class LineChart
{
    private const double Width = 760, Left = 64, Right = 24, Top = 96, PanelHeight = 170, Gap = 52;

    public static string Draw(string title, string note, string horizontal, IReadOnlyList<Panel> panels)
    {
        var svg = new Svg(Width, Top + panels.Count * (PanelHeight + Gap) + 14, title);
        svg.Text(16, 26, title, style: Style.Title);
        svg.Text(16, 44, note, style: Style.Quiet);
        var names = panels.SelectMany(panel => panel.Curves).Select(curve => curve.Name).Distinct().ToList();
        for (var i = 0; i < panels.Count; i++)
            Draw(svg, panels[i], Top + i * (PanelHeight + Gap), names);
        svg.Text((Left + Width - Right) / 2, Top + panels.Count * (PanelHeight + Gap) + 2, horizontal, Anchor.Middle, Style.Quiet);
        Legend.Draw(svg, 16, 66, [.. names.Select(name => (name, Colour(names, name)))]);
        return svg.ToString();
    }

    private static void Draw(Svg svg, Panel panel, double top, List<string> names)
    {
        var points = panel.Curves.SelectMany(curve => curve.Points).ToList();
        var horizontal = Svg.Ticks(points.Select(point => point.X).DefaultIfEmpty().Max(), 10);
        var vertical = Svg.Ticks(points.Select(point => point.Y).DefaultIfEmpty().Max(), 4);
        double X(double value) => Left + value / horizontal[^1] * (Width - Left - Right);
        double Y(double value) => top + 16 + PanelHeight - value / vertical[^1] * PanelHeight;
        svg.Text(Left, top + 4, $"{panel.Title}, {panel.Unit}", style: Style.Strong);
        foreach (var tick in vertical)
        {
            svg.Rule(Left, Y(tick), Width - Right, Y(tick));
            svg.Text(Left - 8, Y(tick) + 4, Text(tick), Anchor.End, Style.Quiet);
        }
        foreach (var tick in horizontal)
            svg.Text(X(tick), Y(0) + 16, Text(tick), Anchor.Middle, Style.Quiet);
        foreach (var curve in panel.Curves)
        {
            var colour = Colour(names, curve.Name);
            svg.Curve(curve.Points.Select(point => (X(point.X), Y(point.Y))), colour);
            foreach (var (x, y) in curve.Points)
                svg.Dot(X(x), Y(y), colour, $"{curve.Name}, {Text(x)}: {Text(y)} {panel.Unit}");
        }
    }

    private static string Colour(List<string> names, string name) => Svg.Palette[names.IndexOf(name) % Svg.Palette.Length];

    private static string Text(double value) => value.ToString("#,0.##", CultureInfo.InvariantCulture);
}
