namespace KataLike.Runtime.Cli;

/// <summary>What stands before the command's name.</summary>
internal sealed record GlobalOptions(string Root, string? ConfigurationPath, LogOptions Log, bool SystemdCgroup)
{
    public const string DefaultRoot = "/run/katalike";

    public static IReadOnlyList<Flag> Flags { get; } =
    [
        Flag.Boolean("debug", "enable debug logging: each step of the command, and with --log of the sandbox process"),
        Flag.Text("log", "set the log file to write katalike logs to", "/dev/stderr"),
        Flag.Text("log-format", "set the log format ('text' or 'json')", "text"),
        Flag.Text("root", "root directory for storage of container state (this should be located in tmpfs)", DefaultRoot),
        Flag.Text("config", "path to the configuration file"),
        Flag.Boolean("systemd-cgroup", "accepted: the cgroups are the guest's"),
        Flag.Text("rootless", "accepted: 'true', 'false', or 'auto'", "auto"),
    ];

    /// <exception cref="RuntimeException">An option has no such value.</exception>
    public static GlobalOptions From(Options options)
    {
        var format = options.Text("log-format") ?? "text";
        if (format is not ("text" or "json"))
            throw new RuntimeException($"invalid log-format: {format}");
        if (options.Text("rootless") is { } rootless and not "auto" && Options.ToBoolean(rootless) is null)
            throw new RuntimeException($"strconv.ParseBool: parsing \"{rootless}\": invalid syntax");
        return new GlobalOptions(
            Path.GetFullPath(options.Text("root") ?? DefaultRoot),
            options.Text("config") is { } path ? Path.GetFullPath(path) : null,
            new LogOptions(options.Text("log") is { } log ? Path.GetFullPath(log) : null, Json: format == "json", Debug: options.Boolean("debug")),
            options.Boolean("systemd-cgroup"));
    }
}

/// <param name="File">Null: standard error.</param>
internal sealed record LogOptions(string? File, bool Json, bool Debug);
