using System.Globalization;
using System.Text;
using KataLike.Linux;

namespace KataLike.Runtime;

/// <summary>A timeline as a table and as a picture. A step lasts from the mark before it in its lane.</summary>
internal sealed class TimelineReport
{
    private const double Width = 980, Left = 300, Right = 96, Top = 84, Row = 19;
    private static readonly string[] Lanes = ["katalike", "sandbox process", "guest"];

    private readonly List<(TimelineMark Mark, double Milliseconds, double Step)> _steps = [];

    public TimelineReport(IEnumerable<TimelineMark> marks)
    {
        var sorted = marks.OrderBy(mark => mark.At).ToList();
        var before = new Dictionary<Lane, long>();
        foreach (var mark in sorted)
        {
            _steps.Add((mark, (mark.At - sorted[0].At) / 1e6, (mark.At - before.GetValueOrDefault(mark.Lane, mark.At)) / 1e6));
            before[mark.Lane] = mark.At;
        }
    }

    /// <param name="pipe">Of a sandbox process, which is awaited; null: there was none.</param>
    public static TimelineReport Read(List<TimelineMark> own, FileDescriptor? pipe)
    {
        var text = new MemoryStream();
        var buffer = new byte[4096];
        for (int count; pipe is not null && (count = Files.Read(pipe, buffer)) > 0;)
            text.Write(buffer.AsSpan(0, count));
        return new([.. own, .. Timeline.Parse(Encoding.ASCII.GetString(text.ToArray()))]);
    }

    public string Table()
    {
        var text = new StringBuilder(" at, ms  step, ms  where            done\n");
        foreach (var (mark, at, step) in _steps)
            text.Append(CultureInfo.InvariantCulture, $"{at,7:0.0}  {step,8:0.0}  {Lanes[(int)mark.Lane],-15}  {mark.Name}\n");
        return text.ToString();
    }

    public string Picture()
    {
        var ticks = Svg.Ticks(_steps.Select(step => step.Milliseconds).DefaultIfEmpty().Max(), 8);
        double X(double milliseconds) => Left + milliseconds / ticks[^1] * (Width - Left - Right);
        var bottom = Top + _steps.Count * Row;
        var svg = new Svg(Width, bottom + 34, "Timeline of katalike run");
        svg.Text(16, 26, "Timeline of katalike run", style: Style.Title);
        svg.Text(16, 44, "milliseconds from the start of the command; a bar lasts from the step before in its lane to the step that it is named by", style: Style.Quiet);
        for (var lane = 0; lane < Lanes.Length; lane++)
        {
            svg.Rectangle(16 + lane * 130, 57, 10, 10, Svg.Palette[Colours[lane]]);
            svg.Text(31 + lane * 130, 66, Lanes[lane]);
        }
        foreach (var tick in ticks)
        {
            svg.Rule(X(tick), Top - 4, X(tick), bottom);
            svg.Text(X(tick), bottom + 18, tick.ToString("#,0.##", CultureInfo.InvariantCulture), Anchor.Middle, Style.Quiet);
        }
        for (var i = 0; i < _steps.Count; i++)
        {
            var ((lane, _, name), at, step) = _steps[i];
            var y = Top + i * Row;
            var length = string.Create(CultureInfo.InvariantCulture, $"{step:0.0} ms");
            svg.Text(Left - 10, y + 12, name, Anchor.End);
            svg.Rectangle(X(at - step), y + 2, Math.Max(2, X(at) - X(at - step)), Row - 6, Svg.Palette[Colours[(int)lane]], $"{Lanes[(int)lane]}: {name}, {length}");
            svg.Text(Math.Max(X(at), X(at - step) + 2) + 6, y + 12, length, style: Style.Quiet);
        }
        return svg.ToString();
    }

    private static readonly int[] Colours = [2, 0, 4];
}
