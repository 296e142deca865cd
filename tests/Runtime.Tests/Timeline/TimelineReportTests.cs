using System.Xml.Linq;
using KataLike.Runtime;

namespace KataLike.Runtime.Tests;

public class TimelineReportTests
{
    private const long Start = 5_000_000_000;

    private static readonly TimelineMark[] Marks =
    [
        new(Lane.Command, Start, "process executed"), new(Lane.Command, Start + 20_000_000, "sandbox process spawned"),
        new(Lane.Sandbox, Start + 30_000_000, "QEMU started"), new(Lane.Guest, Start + 1_030_000_000, "agent runs"),
        new(Lane.Command, Start + 1_500_000_000, "all removed"),
    ];

    [Fact]
    public void A_step_lasts_from_the_mark_before_it_in_its_lane() => Assert.Equal(
        """
         at, ms  step, ms  where            done
            0.0       0.0  katalike         process executed
           20.0      20.0  katalike         sandbox process spawned
           30.0       0.0  sandbox process  QEMU started
         1030.0       0.0  guest            agent runs
         1500.0    1480.0  katalike         all removed

        """, new TimelineReport(Marks.Reverse()).Table());

    [Fact]
    public void The_picture_has_a_bar_for_each_step_on_one_scale()
    {
        var picture = XDocument.Parse(new TimelineReport(Marks).Picture());
        var bars = picture.Descendants().Where(element => element.Name.LocalName == "rect" && element.HasElements).ToList();
        Assert.Equal(Marks.Length, bars.Count);
        Assert.Equal("katalike: all removed, 1480.0 ms", bars[^1].Value);
        // Its beginning is the end of the step before it in its lane, a seventieth of the whole earlier than its end.
        double X(int bar) => (double)bars[bar].Attribute("x")!;
        double End(int bar) => X(bar) + (double)bars[bar].Attribute("width")!;
        Assert.Equal(End(1), X(4), precision: 2);
        Assert.Equal(75, (End(4) - X(0)) / (End(1) - X(0)), precision: 1);
    }

    [Fact]
    public void Lines_of_a_sandbox_process_are_read_and_others_left_out() => Assert.Equal(
        [new(Lane.Sandbox, 12, "virtiofsd started"), new(Lane.Guest, 13, "a name with  spaces")],
        Timeline.Parse("Sandbox 12 virtiofsd started\n\nGuest 13 a name with  spaces\nGuest -1 x\nNobody 1 x\n7 1 x\nGuest 99999999999999999999 x\nGuest 14\nGuest 15 "));
}
