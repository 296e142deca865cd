using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// Keeps the guest's wall clock at the host's. The times of shared files are the host's, and programs compare them with
/// their own; a clock that is set once is late by the way to the guest, and drifts.
/// </summary>
internal static class GuestClock
{
    /// <summary>The first round trip also wakes the guest up; the shortest one counts.</summary>
    private const int Probes = 4;

    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);

    /// <summary>Runs until the agent is gone; never faults.</summary>
    public static async Task KeepAsync(AgentClient agent)
    {
        try
        {
            while (true)
            {
                if (await MeasureAsync(agent) is var behind and not 0)
                    await agent.AdjustClockAsync(new AdjustClockRequest { Nanoseconds = behind });
                await Task.Delay(Pause);
            }
        }
        catch (Exception error) when (error is IOException or TtrpcException)
        {
            // The end of the agent is seen elsewhere. One that does not answer keeps the clock that it wants.
        }
    }

    /// <summary>By how many nanoseconds the guest's clock is behind; 0 where that is less than the error of the measurement.</summary>
    private static async Task<long> MeasureAsync(AgentClient agent)
    {
        var (shortest, behind) = (long.MaxValue, 0L);
        for (var probe = 0; probe < Probes; probe++)
        {
            var sent = Now();
            var shown = (await agent.AdjustClockAsync(new AdjustClockRequest())).Nanoseconds;
            var roundTrip = Now() - sent;
            if (roundTrip < shortest)
                (shortest, behind) = (roundTrip, unchecked(sent + (roundTrip / 2) - shown));
        }
        return behind > shortest / 2 || behind < -shortest / 2 ? behind : 0;
    }

    private static long Now() => (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks * TimeSpan.NanosecondsPerTick;
}
