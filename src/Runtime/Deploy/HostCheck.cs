namespace KataLike.Runtime.Deploy;

internal enum CheckStatus
{
    Ok,

    /// <summary>Sandboxes run, and something could be better or is not set up.</summary>
    Note,

    /// <summary>No sandbox runs without it.</summary>
    Missing,
}

/// <summary>What was found about one thing, and how to mend it.</summary>
internal sealed record HostCheck(string Name, CheckStatus Status, string Found, string? Remedy = null)
{
    public override string ToString() => $"{Status.ToString().ToLowerInvariant(),-8}{Name}: {Found}{(Remedy is null ? "" : $"; {Remedy}")}";
}
