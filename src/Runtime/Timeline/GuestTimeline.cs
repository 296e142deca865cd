using System.Diagnostics;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;

namespace KataLike.Runtime;

/// <summary>Brings the guest's marks onto the host's clock: of some questions for the guest's time the one that was answered fastest tells the difference.</summary>
internal static class GuestTimeline
{
    private const int Probes = 5, MostMarks = 256, LongestName = 60;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Adds them to the timeline; never faults.</summary>
    public static async Task AddAsync(AgentClient agent)
    {
        try
        {
            using var limit = new CancellationTokenSource(Patience);
            var (shortest, difference) = (long.MaxValue, 0L);
            TimelineResponse answer = new();
            for (var probe = 0; probe < Probes; probe++)
            {
                var sent = Stopwatch.GetTimestamp();
                answer = await agent.TimelineAsync(new TimelineRequest(), limit.Token);
                var trip = Stopwatch.GetTimestamp() - sent;
                if (trip < shortest)
                    (shortest, difference) = (trip, unchecked(sent + trip / 2 - (long)answer.Now));
            }
            Timeline.MarkGuest(Timeline.GuestBegan, "machine begins");
            Timeline.MarkGuest(difference, "kernel starts its clock");
            foreach (var mark in answer.Marks.Take(MostMarks))
                Timeline.MarkGuest(unchecked((long)mark.At + difference), Printable(mark.Name));
        }
        catch (Exception error) when (error is IOException or TtrpcException or OperationCanceledException)
        {
            // The machine is gone: there are no steps of the guest then.
        }
    }

    /// <summary>The guest may say anything, and the text goes to somebody's terminal.</summary>
    private static string Printable(string name) => new([.. name.Take(LongestName).Select(c => c is >= ' ' and <= '~' ? c : '?')]);
}
