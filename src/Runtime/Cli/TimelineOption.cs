using KataLike.Linux;

namespace KataLike.Runtime.Cli;

/// <summary>run --timeline: the command's own marks, and a pipe for those of the sandbox process.</summary>
internal sealed class TimelineOption : IDisposable
{
    private const string Name = "timeline";

    private readonly List<TimelineMark> _marks = Timeline.Keep();
    private readonly FileDescriptor _read;
    private readonly string? _file;

    private TimelineOption(string? file)
    {
        _file = file is null ? null : Path.GetFullPath(file);
        (_read, SandboxEnd) = Files.Pipe();
    }

    public static Flag Flag { get; } = Flag.OptionalText(
        Name, "tell at the end where the time went, on standard error or in a file, as a table, or as a picture where the file is named .svg");

    /// <summary>For the sandbox process, if this command starts it.</summary>
    public FileDescriptor SandboxEnd { get; }

    /// <summary>Null: nobody asked.</summary>
    /// <exception cref="RuntimeException">The command does not see the end.</exception>
    public static TimelineOption? From(Options options, bool detach) =>
        !options.Has(Name) ? null
        : detach ? throw new RuntimeException("--timeline needs the command to last as long as the container: run without --detach")
        : new TimelineOption(options.Text(Name));

    /// <summary>Waits for the sandbox process to end.</summary>
    /// <exception cref="RuntimeException">The file cannot be written.</exception>
    public void Report()
    {
        SandboxEnd.Dispose();
        var report = TimelineReport.Read(_marks, _read);
        if (_file is null)
        {
            StandardStreams.WriteError(report.Table());
            return;
        }
        try
        {
            File.WriteAllText(_file, _file.EndsWith(".svg", StringComparison.Ordinal) ? report.Picture() : report.Table());
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"--timeline={_file}: {error.Message}", cause: error);
        }
    }

    public void Dispose()
    {
        SandboxEnd.Dispose();
        _read.Dispose();
    }
}
