using KataLike.Linux;
using KataLike.Runtime.Cli.Commands;

namespace KataLike.Runtime.Cli;

/// <summary>The OCI command line: global options, the command, its options; then the command's own code.</summary>
internal static class CommandLine
{
    public static IReadOnlyList<Command> Commands { get; } =
    [
        CheckCommand.Command, CheckpointCommands.Checkpoint, CreateCommand.Command, DeleteCommand.Command, EventsCommand.Command, ExecCommand.Command,
        FeaturesCommand.Command, InstallCommand.Install, KillCommand.Command, ListCommand.Command, PauseCommand.Command, PoolCommand.Command, ProcessesCommand.Command,
        CheckpointCommands.Restore, ResumeCommand.Command, RunCommand.Command, SpecCommand.Command, StartCommand.Command,
        StateCommand.Command, TemplateCommand.Command, InstallCommand.Uninstall, UpdateCommand.Command,
    ];

    /// <returns>The exit code of the process.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var log = Log.ToStandardError();
        try
        {
            var options = ParseGlobal(arguments);
            if (options is null)
                return 0;
            var global = GlobalOptions.From(options);
            log = Log.Open(global.Log);
            return await RunCommandAsync(global, options.Positionals, log);
        }
        catch (Exception e) when (e is UsageException or RuntimeException or LinuxException)
        {
            log.Fatal(e.Message);
            return e is RuntimeException { ExitCode: var code } ? code : 1;
        }
    }

    /// <returns>Null when what was asked for has been printed already.</returns>
    private static Options? ParseGlobal(string[] arguments)
    {
        try
        {
            var options = OptionParser.Parse([.. GlobalOptions.Flags, Version.Flag], arguments);
            if (options.Boolean("version"))
                StandardStreams.WriteOutput($"katalike version {Version.Text}\n");
            else if (options.Positionals.Count == 0)
                StandardStreams.WriteOutput(Help.ForProgram(Commands));
            else
                return options;
        }
        catch (HelpRequestedException)
        {
            StandardStreams.WriteOutput(Help.ForProgram(Commands));
        }
        catch (UsageException e)
        {
            StandardStreams.WriteOutput($"Incorrect Usage. {e.Message}\n\n{Help.ForProgram(Commands)}");
            throw;
        }
        return null;
    }

    private static async Task<int> RunCommandAsync(GlobalOptions global, IReadOnlyList<string> words, Log log)
    {
        if (words[0] is "help" or "h")
        {
            StandardStreams.WriteOutput(words.Count > 1 ? Help.ForCommand(Find(words[1])) : Help.ForProgram(Commands));
            return 0;
        }
        var command = Find(words[0]);
        if (global.Log.Debug)
        {
            log.Debug($"katalike {Version.Program}: {command.Name}");
            Timeline.Follow(Lane.Command, log.Debug);
        }
        if (ParseCommand(command, words.Skip(1)) is not { } options)
            return 0;
        try
        {
            return await command.Run(new Invocation(global, options, log));
        }
        catch (Exception e) when (e is not UsageException)
        {
            // What the user can mend has its own text; anything else is a defect, of which --debug shows the place.
            log.Debug(e.ToString());
            log.Fatal(command.FailurePrefix is null ? e.Message : $"{command.FailurePrefix}: {e.Message}");
            return e is RuntimeException { ExitCode: > 1 and var code } ? code : command.FailureCode;
        }
    }

    private static Command Find(string name) =>
        Commands.FirstOrDefault(c => c.Name == name)
        ?? throw new RuntimeException($"No help topic for '{name}'", exitCode: 3);

    private static Options? ParseCommand(Command command, IEnumerable<string> arguments)
    {
        try
        {
            var options = OptionParser.Parse(command.Flags, arguments, command.OptionsAnywhere);
            command.CheckArity(options.Positionals.Count);
            return options;
        }
        catch (HelpRequestedException)
        {
            StandardStreams.WriteOutput(Help.ForCommand(command));
            return null;
        }
        catch (UsageException e)
        {
            StandardStreams.WriteOutput($"Incorrect Usage: {e.Message}\n\n{Help.ForCommand(command)}");
            throw;
        }
    }
}
