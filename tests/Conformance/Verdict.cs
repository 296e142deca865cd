namespace KataLike.Conformance.Tests;

internal enum Outcome
{
    Pass,
    Fail,

    /// <summary>Not judged, for a reason.</summary>
    NotApplicable,
}

/// <summary>How a runtime kept a clause.</summary>
/// <param name="Detail">What was seen instead, or why there is no judgement; one line.</param>
internal sealed record Verdict(Outcome Outcome, string Detail)
{
    public static Verdict Pass { get; } = new(Outcome.Pass, "");

    public static Verdict Fail(Exception error) => new(Outcome.Fail, OneLine(error.Message));

    public static Verdict NotApplicable(string reason) => new(Outcome.NotApplicable, reason);

    public override string ToString() => Outcome switch { Outcome.Pass => "pass", Outcome.Fail => "FAIL", _ => "n/a" };

    private static string OneLine(string text)
    {
        var line = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).Replace('|', '/');
        return line.Length <= 400 ? line : $"{line[..200]} … {line[^200..]}";
    }
}
