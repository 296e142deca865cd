using System.Diagnostics;
using System.Globalization;
using System.Text;
using KataLike.Linux;

namespace KataLike.Runtime;

/// <summary>Where a step of a start was done.</summary>
internal enum Lane { Command, Sandbox, Guest }

/// <param name="At">Nanoseconds of the host's monotonic clock.</param>
/// <param name="Name">What was done by then.</param>
internal sealed record TimelineMark(Lane Lane, long At, string Name);

/// <summary>
/// Notes when each step of a start was done, for <c>katalike run --timeline</c>. The command keeps its marks; the sandbox
/// process writes its own, and the guest's, to a pipe of the command, whose end is the end of the sandbox process.
/// With --debug marks are logged, too. Off unless it was begun: then a mark is one comparison.
/// </summary>
internal static class Timeline
{
    private static readonly Lock Lock = new();
    private static Action<TimelineMark>? _take;
    private static Lane _lane;
    private static long _guestBegan = long.MaxValue;

    public static bool IsOn => _take is not null;

    /// <summary>When the guest began to run for this sandbox.</summary>
    public static long GuestBegan => Volatile.Read(ref _guestBegan);

    /// <summary>Keeps marks of this process in a list, beginning with the process's own start.</summary>
    public static List<TimelineMark> Keep()
    {
        var marks = new List<TimelineMark>();
        Begin(Lane.Command, isFresh: true, mark =>
        {
            lock (Lock)
                marks.Add(mark);
        });
        return marks;
    }

    /// <summary>Writes marks of the sandbox process as lines, beginning with the process's own start.</summary>
    /// <param name="pipe">Taken over. A mark that does not go in is lost.</param>
    /// <param name="isFresh">False: it has waited in the pool, and begins here.</param>
    public static void WriteTo(FileDescriptor pipe, bool isFresh) =>
        Begin(Lane.Sandbox, isFresh, mark => Files.TryWrite(pipe, Encoding.ASCII.GetBytes($"{mark.Lane} {mark.At} {mark.Name}\n")));

    /// <summary>Logs each mark when it is made, for --debug.</summary>
    public static void Follow(Lane lane, Action<string> log)
    {
        _lane = lane;
        _take += mark => log(mark.Lane == Lane.Guest ? $"guest: {mark.Name}" : mark.Name);
    }

    public static void Mark(string name) => _take?.Invoke(new(_lane, Stopwatch.GetTimestamp(), name));

    /// <summary>A mark from which on the guest runs: what it did before was done for a template.</summary>
    public static void MarkGuestBegins(string name)
    {
        Volatile.Write(ref _guestBegan, Stopwatch.GetTimestamp());
        Mark(name);
    }

    /// <summary>A mark of the guest, on the host's clock; one that cannot be is left out.</summary>
    public static void MarkGuest(long at, string name)
    {
        if (at >= GuestBegan && at <= Stopwatch.GetTimestamp())
            _take?.Invoke(new(Lane.Guest, at, name));
    }

    /// <summary>The marks that a sandbox process wrote until its end.</summary>
    public static List<TimelineMark> Parse(string lines)
    {
        var marks = new List<TimelineMark>();
        foreach (var line in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Split(' ', 3) is [var lane, var time, { Length: > 0 } name]
                && Enum.TryParse(lane, out Lane known) && Enum.IsDefined(known)
                && long.TryParse(time, NumberStyles.None, CultureInfo.InvariantCulture, out var at))
            {
                marks.Add(new(known, at, name));
            }
        }
        return marks;
    }

    private static void Begin(Lane lane, bool isFresh, Action<TimelineMark> take)
    {
        _lane = lane;
        _take += take;
        // Nobody tells when a process was executed. Until here it has done nothing but compute.
        if (isFresh)
            take(new(lane, Stopwatch.GetTimestamp() - (long)Environment.CpuUsage.TotalTime.TotalNanoseconds, "process executed"));
        Mark("arguments understood");
    }
}
