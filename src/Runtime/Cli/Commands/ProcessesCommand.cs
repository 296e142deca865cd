using System.Globalization;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

/// <summary>
/// ps. The table is the guest's, with its pids: the host's ps knows nothing of them. The list in JSON is for callers that look
/// pids up on the host (docker top): there it has the stubs, of which execs are recognized, too.
/// </summary>
internal static class ProcessesCommand
{
    private static readonly string[] Full = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];

    // What ps shows with an option of BSD's.
    private static readonly string[] Short = ["pid", "tty", "stat", "bsdtime", "args"];

    public static Command Command { get; } = new("ps", "ps displays the processes running inside a container", RunAsync)
    {
        Arguments = "<container-id> [ps options]",
        MaximumArguments = int.MaxValue,
        OptionsAnywhere = false,
        Flags = [Flag.Text("format, f", "select one of: table or json", "table")],
        Description = """
            The pids of the table are those of the virtual machine, those of the JSON list are the host's. Of the options of ps, those that choose processes (-e, -A, -a, -x, ax) choose
            all, and -f and -o COLUMNS are known, with the columns uid, user, pid, ppid, c, stime, tty, stat, time, bsdtime, comm,
            args and cmd.
            """,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        var format = invocation.Options.Text("format") ?? "table";
        if (format is not ("table" or "json"))
            throw new RuntimeException("invalid format option");
        var columns = Columns([.. invocation.Options.Positionals.Skip(1)]);
        if (format == "json")
        {
            var pids = await AskAsync(root, state, sandbox => sandbox.PidsAsync(state.Id));
            StandardStreams.WriteOutput(pids.Count == 0 ? "null\n" : $"[{string.Join(',', pids)}]\n");
            return 0;
        }
        var processes = await AskAsync<ProcessInfo>(root, state, async sandbox => (await sandbox.ProcessesAsync(state.Id)).Processes);
        StandardStreams.WriteOutput(Table.Format(
            [[.. columns.Select(c => Aligned(Title(c), c))], .. processes.Select(p => columns.Select(c => Aligned(Printable(Cell(p, c)), c)).ToArray())], space: 1));
        return 0;
    }

    /// <summary>Nothing where the container does not run.</summary>
    private static async Task<IReadOnlyList<T>> AskAsync<T>(StateRoot root, ContainerState state, Func<SandboxClient, Task<IReadOnlyList<T>>> ask)
    {
        if (state.Exit(root) is not null || SandboxClient.Connect(root, state.Sandbox) is not { } connected)
            return [];
        await using var sandbox = connected;
        try
        {
            return await ask(sandbox);
        }
        catch (TtrpcException e) when (e.Code is StatusCode.NotFound or StatusCode.FailedPrecondition)
        {
            return [];
        }
    }

    /// <exception cref="RuntimeException">An option that needs the host's ps.</exception>
    private static string[] Columns(string[] options)
    {
        string[]? columns = null;
        var standard = Full;
        for (var i = 0; i < options.Length; i++)
        {
            var option = options[i];
            if (option is "-x" or "x" or "a" or "ax" or "-ax")
                standard = Short;
            if (option is "-x" or "x" or "a" or "ax" or "-ax" or "-e" or "-A" or "-a" or "-f" or "-ef" or "-fe" or "ef")
                continue;
            if (option is "-o" && i + 1 < options.Length)
                option += options[++i];
            columns = option.StartsWith("-o", StringComparison.Ordinal) && option.Length > 2
                ? option[2..].Split(',')
                : throw new RuntimeException($"ps option {option} is not supported: use -ef or -o COLUMNS");
        }
        foreach (var column in columns ?? [])
            Title(column);
        return columns ?? standard;
    }

    private static string Title(string column) => column switch
    {
        "uid" or "user" or "pid" or "ppid" or "c" or "stime" or "stat" or "time" or "cmd" => column.ToUpperInvariant(),
        "tty" => "TTY",
        "bsdtime" => "TIME",
        "comm" or "args" => "COMMAND",
        _ => throw new RuntimeException($"ps column {column} is not supported"),
    };

    /// <summary>Numbers of processes end in one column, as those of ps do.</summary>
    private static string Aligned(string text, string column) => column is "pid" or "ppid" ? text.PadLeft(7) : text;

    /// <summary>As ps does: the guest may say anything, and the text goes to somebody's terminal.</summary>
    private static string Printable(string text) => new([.. text.Select(c => char.IsControl(c) ? '?' : c)]);

    private static string Cell(ProcessInfo process, string column) => column switch
    {
        "uid" or "user" => process.Uid == 0 ? "root" : $"{process.Uid}",
        "pid" => $"{process.Pid}",
        "ppid" => $"{process.ParentPid}",
        "c" => "0",
        "stime" => process.StartedAt?.ToDateTimeOffset().ToLocalTime().ToString("HH:mm", CultureInfo.InvariantCulture) ?? "?",
        "tty" => process.Terminal,
        "time" => Used(process).ToString(@"hh\:mm\:ss", CultureInfo.InvariantCulture),
        "stat" => process.State,
        "bsdtime" => string.Create(CultureInfo.InvariantCulture, $"{(long)Used(process).TotalMinutes}:{Used(process).Seconds:00}"),
        "comm" => Path.GetFileName(process.Arguments.FirstOrDefault("?")),
        _ => string.Join(' ', process.Arguments),
    };

    private static TimeSpan Used(ProcessInfo process) => TimeSpan.FromMilliseconds(process.CpuTime / 1_000_000.0);
}
