using System.Diagnostics;
using KataLike.Contract.Agent;

namespace KataLike.Agent;

/// <summary>When the agent's first steps were done, for <c>katalike run --timeline</c>: so few and so seldom that they are always kept.</summary>
internal static class Timeline
{
    private const int Most = 64;

    private static readonly Lock Lock = new();
    private static readonly List<Contract.Agent.TimelineMark> Marks = [];

    public static void Mark(string name)
    {
        lock (Lock)
        {
            if (Marks.Count < Most)
            {
                Marks.Add(new() { Name = name, At = (ulong)Stopwatch.GetTimestamp() });
            }
        }
    }

    /// <summary>What is to be the life of a copy begins here.</summary>
    public static void Clear()
    {
        lock (Lock)
        {
            Marks.Clear();
        }
    }

    public static TimelineResponse Answer()
    {
        lock (Lock)
        {
            return new TimelineResponse { Now = (ulong)Stopwatch.GetTimestamp(), Marks = { Marks } };
        }
    }
}
