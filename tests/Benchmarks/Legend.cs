using KataLike.Runtime;

namespace KataLike.Benchmarks;

/// <summary>Which colour is whose.</summary>
internal static class Legend
{
    public static void Draw(Svg svg, double x, double y, IReadOnlyList<(string Name, string Colour)> names)
    {
        foreach (var (name, colour) in names)
        {
            svg.Rectangle(x, y - 9, 10, 10, colour);
            svg.Text(x + 15, y, name);
            x += 38 + 6.2 * name.Length;
        }
    }
}
