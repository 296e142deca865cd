using System.Diagnostics;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>Waits for what the host has plugged into the machine and the kernel is still finding.</summary>
internal static class Arrival
{
    /// <summary>Looks now, and again each time that something has changed; null: it has not come in time.</summary>
    /// <param name="changes">Readable then. Opened by the caller before the first look, so that no change is missed.</param>
    public static T Await<T>(FileDescriptor changes, TimeSpan patience, Func<T> find)
    {
        using var epoll = new Epoll();
        epoll.Add(changes, PollEvents.Readable, 0);
        var clock = Stopwatch.StartNew();
        Span<byte> ignored = stackalloc byte[4096];
        while (true)
        {
            if (find() is { } found)
            {
                return found;
            }
            var left = patience == Timeout.InfiniteTimeSpan ? -1 : Math.Max(0, (int)(patience - clock.Elapsed).TotalMilliseconds);
            if (epoll.Wait(left).Length == 0)
            {
                return default!;
            }
            Files.TryRead(changes, ignored);
        }
    }
}
