using System.Globalization;
using System.Text;
using System.Text.Json;
using KataLike.Linux;

namespace KataLike.Runtime.Cli;

/// <summary>
/// The log, in the formats of logrus: callers of runc read the JSON form to learn why a command failed.
/// With --log the last error also goes to standard error, plain.
/// </summary>
internal sealed class Log
{
    private readonly FileDescriptor file;
    private readonly LogOptions options;
    private readonly bool terminal;

    private Log(FileDescriptor file, LogOptions options, bool terminal) =>
        (this.file, this.options, this.terminal) = (file, options, terminal);

    public static Log ToStandardError() => Open(new LogOptions(null, Json: false, Debug: false));

    /// <exception cref="RuntimeException">The file cannot be opened.</exception>
    public static Log Open(LogOptions options)
    {
        if (options.File is null)
            return new Log(StandardStreams.Get(2), options, HostTerminals.IsTerminal(StandardStreams.Get(2)));
        try
        {
            var file = Files.Open(options.File, Files.WriteOnly | Files.Create | Files.Append, mode: 0x1a4 /* 0644 */);
            return new Log(file, options, terminal: false);
        }
        catch (LinuxException e)
        {
            throw new RuntimeException(e.Message, cause: e);
        }
    }

    public void Debug(string message)
    {
        if (options.Debug)
            Write("debug", message);
    }

    public void Warning(string message) => Write("warning", message);

    /// <summary>The error that ends the command.</summary>
    public void Fatal(string message)
    {
        Write("error", message);
        if (options.File is not null)
            StandardStreams.WriteError(message + "\n");
    }

    private void Write(string level, string message)
    {
        var line = options.Json ? FormatJson(level, message, DateTimeOffset.Now)
            : terminal ? FormatTerminal(level, message)
            : FormatText(level, message, DateTimeOffset.Now);
        StandardStreams.Write(file, line + "\n");
    }

    internal static string FormatText(string level, string message, DateTimeOffset at) =>
        $"time=\"{Time(at)}\" level={level} msg={Quote(message)}";

    internal static string FormatJson(string level, string message, DateTimeOffset at)
    {
        var text = JsonEncodedText.Encode(message, System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping);
        return $"{{\"level\":\"{level}\",\"msg\":\"{text}\",\"time\":\"{Time(at)}\"}}";
    }

    private static string FormatTerminal(string level, string message)
    {
        var (colour, name) = level switch { "error" => (31, "ERRO"), "warning" => (33, "WARN"), _ => (37, "DEBU") };
        return $"\e[{colour}m{name}\e[0m[0000] {message,-44} ";
    }

    private static string Time(DateTimeOffset at) =>
        at.Offset == TimeSpan.Zero
            ? at.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture)
            : at.ToString("yyyy-MM-ddTHH:mm:sszzz", CultureInfo.InvariantCulture);

    /// <summary>As Go's %q, and bare where logrus leaves it bare.</summary>
    private static string Quote(string message)
    {
        if (message.Length > 0 && message.All(c => char.IsAsciiLetterOrDigit(c) || "-._/@^+".Contains(c)))
            return message;
        var text = new StringBuilder("\"");
        foreach (var c in message)
        {
            _ = c switch
            {
                '"' or '\\' => text.Append('\\').Append(c),
                '\n' => text.Append("\\n"),
                '\t' => text.Append("\\t"),
                '\r' => text.Append("\\r"),
                < ' ' or '\x7f' => text.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => text.Append(c),
            };
        }
        return text.Append('"').ToString();
    }
}
