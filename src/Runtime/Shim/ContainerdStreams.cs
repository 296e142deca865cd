using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Shim;

/// <summary>The names under which containerd or the command line give a process its standard streams.</summary>
internal sealed record StreamNames(bool Terminal, string Stdin, string Stdout, string Stderr)
{
    public bool IsStub => Stdin.StartsWith(ContainerdStreams.Stub, StringComparison.Ordinal);
}

/// <summary>The open streams of a process, and what the shim has of them for itself.</summary>
/// <param name="StdinHold">Keeps stdin from ending when a client detaches; closed by CloseIO. Null where stdin is no FIFO.</param>
/// <param name="Logger">Null where the output goes elsewhere.</param>
internal readonly record struct OpenedStreams(ProcessStreams Streams, FileDescriptor? StdinHold, LoggingBinary? Logger = null);

/// <summary>
/// Opens what Create and Exec name: the path of a FIFO, file://PATH to append to, binary://PATH of a program that takes stdout and
/// stderr, stub://TICKET of the command line, nothing for no stream.
/// </summary>
/// <param name="takeTicket">Gives the descriptors that a stub has handed over; null where there are no stubs.</param>
/// <param name="space">containerd's namespace.</param>
internal sealed class ContainerdStreams(Func<string, ProcessStreams>? takeTicket, string space = "")
{
    public const string Stub = "stub://";
    private const string File = "file://";

    /// <param name="id">Of the container, or the exec.</param>
    /// <exception cref="TtrpcException">InvalidArgument: a scheme that is not served here; a logging binary is not ready.</exception>
    /// <exception cref="LinuxException">A stream cannot be opened.</exception>
    public OpenedStreams Open(StreamNames names, string id)
    {
        if (names.IsStub)
        {
            return takeTicket is null
                ? throw Refused(names.Stdin)
                : new OpenedStreams(takeTicket(names.Stdin[Stub.Length..]), null);
        }
        FileDescriptor? stdin = null, hold = null, stdout = null, stderr = null;
        try
        {
            (stdin, hold) = OpenInput(names.Stdin);
            if (LoggingBinary.IsNamed(names.Stdout))
            {
                (var logger, stdout, stderr) = LoggingBinary.Start(names.Stdout, id, space);
                if (names.Terminal)
                    stderr.Dispose();
                return new OpenedStreams(new ProcessStreams(names.Terminal, stdin, stdout, names.Terminal ? null : stderr), hold, logger);
            }
            stdout = OpenOutput(names.Stdout);
            stderr = names.Terminal ? null : OpenOutput(names.Stderr);
            return new OpenedStreams(new ProcessStreams(names.Terminal, stdin, stdout, stderr), hold);
        }
        catch
        {
            foreach (var opened in (FileDescriptor?[])[stdin, hold, stdout, stderr])
                opened?.Dispose();
            throw;
        }
    }

    /// <summary>Does not wait for a writer: the client may come later, or never.</summary>
    private static (FileDescriptor? Source, FileDescriptor? Hold) OpenInput(string name)
    {
        if (name.Length == 0)
            return default;
        RefuseScheme(name);
        var source = Files.Open(name, Files.ReadOnly | Files.NonBlocking);
        try
        {
            // A reader is there now, so this does not wait either.
            var hold = Files.Status(source).IsPipe ? Files.Open(name, Files.WriteOnly | Files.NonBlocking) : null;
            return (source, hold);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>
    /// A FIFO is opened for reading as well: that does not wait for its reader, and when the reader goes away the container
    /// is not killed by SIGPIPE but can be attached to again.
    /// </summary>
    private static FileDescriptor? OpenOutput(string name)
    {
        if (name.Length == 0)
            return null;
        if (name.StartsWith(File, StringComparison.Ordinal))
            return OpenFile(Uri.UnescapeDataString(name[File.Length..]));
        RefuseScheme(name);
        return Files.Open(name, Files.ReadWrite | Files.Append | Files.NonBlocking | Files.NoControllingTerminal);
    }

    private static FileDescriptor OpenFile(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path) ?? "/");
        return Files.Open(path, Files.WriteOnly | Files.Append | Files.Create, mode: 0x1a4 /* 0644 */);
    }

    private static void RefuseScheme(string name)
    {
        if (name.Contains("://", StringComparison.Ordinal))
            throw Refused(name);
    }

    private static TtrpcException Refused(string name) =>
        new(StatusCode.InvalidArgument, $"stream {name} is not supported: use a FIFO, file://PATH or binary://PATH");
}
