namespace KataLike.Conformance.Tests;

/// <summary>One promise of the specification that can be kept or broken.</summary>
/// <param name="Section">The property of config.json or the operation, as the specification names it.</param>
internal abstract record Clause(string Section, string Title)
{
    public string Name => $"{Section}: {Title}";

    /// <summary>Why the installed runc, or runc on this host, cannot be judged; ours is judged by the specification alone.</summary>
    public string? RuncCannot { get; init; }
}

/// <summary>What a process sees in a container whose config.json asks for something.</summary>
/// <param name="Config">Merged into the plain config.json (<see cref="Config.Merge"/>); for <see cref="InExec"/>: into process.json.</param>
/// <param name="Check">Throws where the clause does not hold.</param>
internal sealed record Observed(string Section, string Title, string Config, Action<Observation> Check, params string[] Questions)
    : Clause(Section, Title)
{
    /// <summary>Clauses that name the same container share it.</summary>
    public string Container { get; init; } = "common";

    /// <summary>Holds in a container that does not ask for it too, so that this cannot show that the check works.</summary>
    public bool ByDefault { get; init; }

    /// <summary>Seen by a process that is added to a container.</summary>
    public bool InExec { get; init; }
}

/// <summary>A config.json that must not run: an error, and nothing left.</summary>
/// <param name="Mentions">A word of the error, whatever its case: what is wrong must be named.</param>
internal sealed record Refused(string Section, string Title, string Mentions, string Config) : Clause(Section, Title);

/// <summary>What takes more than a look: several operations, or something on the host.</summary>
internal sealed record Played(string Section, string Title, Func<Stage, Task> Play) : Clause(Section, Title);
