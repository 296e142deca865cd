using System.Globalization;
using System.Text;

namespace KataLike.Runtime;

/// <summary>Where a text is held.</summary>
internal enum Anchor { Start, Middle, End }

/// <summary>How a text looks.</summary>
internal enum Style { Plain, Title, Strong, Quiet }

/// <summary>A picture as SVG, in pixels from the upper left, in colours that can be read on light and on dark ground.</summary>
internal sealed class Svg(double width, double height, string title)
{
    /// <summary>For things that are told apart, in the order of their importance.</summary>
    public static readonly string[] Palette = ["#3d7fe6", "#17a08c", "#8a929c", "#b08a3e", "#e0702f", "#a35fc9"];

    private const string Sheet = """
        text { font: 12px system-ui, sans-serif; fill: #4d5560; font-variant-numeric: tabular-nums }
        .title { font-size: 16px; font-weight: 600 } .strong { font-weight: 600 } .quiet { font-size: 11px; fill: #76808b }
        .rule { stroke: #8a929c; stroke-opacity: .28 } .mark { stroke: #4d5560; stroke-opacity: .75 }
        @media (prefers-color-scheme: dark) { text { fill: #c3cad3 } .quiet { fill: #929ca8 } .mark { stroke: #dfe4ea } }
        """;

    private readonly StringBuilder _body = new();

    public void Rectangle(double x, double y, double width, double height, string colour, string? hint = null) => Add(
        $"<rect x=\"{Number(x)}\" y=\"{Number(y)}\" width=\"{Number(Math.Max(0, width))}\" height=\"{Number(height)}\" rx=\"{Number(Math.Min(2, width / 2))}\" fill=\"{colour}\"",
        hint is null ? "/>" : $"><title>{Escape(hint)}</title></rect>");

    public void Text(double x, double y, string text, Anchor anchor = Anchor.Start, Style style = Style.Plain) => Add(
        $"<text x=\"{Number(x)}\" y=\"{Number(y)}\"",
        style == Style.Plain ? "" : $" class=\"{style.ToString().ToLowerInvariant()}\"",
        anchor == Anchor.Start ? "" : $" text-anchor=\"{anchor.ToString().ToLowerInvariant()}\"",
        $">{Escape(text)}</text>");

    /// <summary>A line of a grid or an axis.</summary>
    public void Rule(double x1, double y1, double x2, double y2) => Line("rule", x1, y1, x2, y2);

    /// <summary>A line over what is drawn.</summary>
    public void Mark(double x1, double y1, double x2, double y2) => Line("mark", x1, y1, x2, y2);

    public void Curve(IEnumerable<(double X, double Y)> points, string colour) => Add(
        $"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"",
        string.Join(' ', points.Select(point => $"{Number(point.X)},{Number(point.Y)}")), "\"/>");

    public void Dot(double x, double y, string colour, string hint) =>
        Add($"<circle cx=\"{Number(x)}\" cy=\"{Number(y)}\" r=\"2.5\" fill=\"{colour}\"><title>{Escape(hint)}</title></circle>");

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"""
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Number(width)} {Number(height)}" width="{Number(width)}" height="{Number(height)}" role="img">
        <title>{Escape(title)}</title>
        <style>
        {Sheet}
        </style>
        {_body}</svg>

        """);

    /// <summary>Round numbers from zero to the first that is not below a maximum: about so many as are wanted.</summary>
    public static double[] Ticks(double maximum, int wanted = 5)
    {
        if (!(maximum > 0) || double.IsInfinity(maximum))
            return [0, 1];
        var rough = maximum / wanted;
        var power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        var step = power * new[] { 1.0, 2, 5, 10 }.First(factor => factor * power >= rough * 0.999999);
        var count = (int)Math.Ceiling(maximum / step - 1e-9);
        return [.. Enumerable.Range(0, count + 1).Select(number => number * step)];
    }

    private void Line(string style, double x1, double y1, double x2, double y2) =>
        Add($"<line class=\"{style}\" x1=\"{Number(x1)}\" y1=\"{Number(y1)}\" x2=\"{Number(x2)}\" y2=\"{Number(y2)}\"/>");

    private void Add(params ReadOnlySpan<string> parts)
    {
        foreach (var part in parts)
            _body.Append(part);
        _body.Append('\n');
    }

    private static string Number(double value) => Math.Round(value, 2).ToString(CultureInfo.InvariantCulture);

    private static string Escape(string text) => new StringBuilder(text).Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("\"", "&quot;").ToString();
}
