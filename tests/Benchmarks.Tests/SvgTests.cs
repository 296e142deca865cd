using System.Xml.Linq;
using KataLike.Runtime;

namespace KataLike.Benchmarks.Tests;

public class SvgTests
{
    [Theory]
    [InlineData(0.0, 5, 1.0, 2)]
    [InlineData(100, 5, 100, 6)]
    [InlineData(101, 5, 150, 4)]
    [InlineData(0.07, 4, 0.08, 5)]
    [InlineData(20, 10, 20, 11)]
    [InlineData(2345, 4, 3000, 4)]
    public void Ticks_are_round_and_reach_the_maximum(double maximum, int wanted, double last, int count)
    {
        var ticks = Svg.Ticks(maximum, wanted);
        Assert.Equal(last, ticks[^1], precision: 9);
        Assert.Equal(count, ticks.Length);
        Assert.Equal(0, ticks[0]);
    }

    [Fact]
    public void What_texts_hold_stays_text()
    {
        var svg = new Svg(10, 20, "<a> & \"b\"");
        svg.Text(1, 2, "</text><script>", Anchor.End, Style.Quiet);
        svg.Rectangle(0, 0, -1, 3, "red", "a<b");
        var picture = XDocument.Parse(svg.ToString()).Root!;
        Assert.Equal("<a> & \"b\"", picture.Elements().First().Value);
        Assert.Equal("</text><script>", picture.Elements().Single(element => element.Name.LocalName == "text").Value);
        Assert.Equal("0", picture.Elements().Single(element => element.Name.LocalName == "rect").Attribute("width")!.Value);
    }

    [Fact]
    public void A_curve_ends_where_its_axes_say()
    {
        var picture = XDocument.Parse(LineChart.Draw("t", "n", "sandboxes", [new("Memory", "MiB", [new("a", [(1, 5), (10, 20)]), new("b", [])])]));
        var points = picture.Descendants().First(element => element.Name.LocalName == "polyline").Attribute("points")!.Value.Split(' ');
        var lines = picture.Descendants().Where(element => element.Name.LocalName == "line").ToList();
        // 10 of 10 across and 20 of 20 up: the right end of the topmost rule.
        Assert.Equal($"{lines[^1].Attribute("x2")!.Value},{lines[^1].Attribute("y2")!.Value}", points[^1]);
    }

    [Fact]
    public void Bars_of_a_group_share_a_scale_and_missing_ones_are_named()
    {
        var group = new BarGroup("run", "ms", "0", [new("a", new(50, 40, 100)), new("b", new(25, 25, 25)), new("c", null)]);
        var picture = XDocument.Parse(BarChart.Draw("t", "n", [group]));
        var bars = picture.Descendants().Where(element => element.Elements().Any(child => child.Name.LocalName == "title" && element.Name.LocalName == "rect")).ToList();
        Assert.Equal(["a: 50 ms", "b: 25 ms"], bars.Select(bar => bar.Value));
        Assert.Equal(2, (double)bars[0].Attribute("width")! / (double)bars[1].Attribute("width")!, precision: 3);
        Assert.Contains(picture.Descendants(), element => element.Name.LocalName == "text" && element.Value == "c");
    }
}
