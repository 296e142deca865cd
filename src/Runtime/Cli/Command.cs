namespace KataLike.Runtime.Cli;

/// <summary>One verb of the command line: its options, how many arguments it takes, its help, and what it does.</summary>
internal sealed record Command(string Name, string Summary, Func<Invocation, Task<int>> Run)
{
    public IReadOnlyList<Flag> Flags { get; init; } = [];

    /// <summary>What follows the name in the usage line.</summary>
    public string Arguments { get; init; } = "<container-id>";

    public string Description { get; init; } = "";

    public int MinimumArguments { get; init; } = 1;

    public int MaximumArguments { get; init; } = 1;

    /// <summary>False where the first positional begins a command that has options of its own.</summary>
    public bool OptionsAnywhere { get; init; } = true;

    /// <summary>Stands before the error's text in the log, as runc has it: "create failed: …".</summary>
    public string? FailurePrefix { get; init; }

    /// <summary>The exit code of a failure that does not bring its own.</summary>
    public int FailureCode { get; init; } = 1;

    /// <exception cref="UsageException">Too few or too many arguments.</exception>
    public void CheckArity(int count)
    {
        if (count >= MinimumArguments && count <= MaximumArguments)
            return;
        var bound = MinimumArguments == MaximumArguments ? "exactly" : "a minimum of";
        throw new UsageException($"katalike: \"{Name}\" requires {bound} {MinimumArguments} argument(s)");
    }
}

/// <summary>A command about to run.</summary>
internal sealed record Invocation(GlobalOptions Global, Options Options, Log Log)
{
    public string ContainerId => Options.Positionals[0];
}
