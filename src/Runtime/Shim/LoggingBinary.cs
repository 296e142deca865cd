using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Runtime.Shim;

/// <summary>
/// A program that takes a process's output: binary://PATH?KEY=VALUE. It reads stdout from descriptor 3 and stderr from 4, closes 5
/// when it is ready, and has the pairs of the query as arguments (containerd, docs/runtime-v2.md, "Logging").
/// </summary>
internal sealed class LoggingBinary : IDisposable
{
    private const int StdoutNumber = 3, StderrNumber = 4, ReadyNumber = 5;

    /// <summary>As long as any call may take; a program that writes to 5 or closes it within this is ready.</summary>
    private static readonly TimeSpan ReadyPatience = TimeSpan.FromSeconds(30);

    /// <summary>The end of its input is the sign to end. containerd's shim sends SIGTERM at once, and SIGKILL after 12 seconds.</summary>
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(2), TermPatience = TimeSpan.FromSeconds(10);

    private readonly ChildProcess _process;

    private LoggingBinary(ChildProcess process) => _process = process;

    /// <param name="MustSayReady">binary-v2: closing descriptor 5 without a byte means that it has failed.</param>
    private sealed record Address(string Path, IReadOnlyList<string> Arguments, bool MustSayReady);

    public static bool IsNamed(string stream) => TryParse(stream) is not null;

    /// <summary>Starts it and waits until it is ready.</summary>
    /// <returns>The program, and where its two inputs are written to.</returns>
    /// <exception cref="TtrpcException">It is not ready in time, or says that it cannot be.</exception>
    /// <exception cref="LinuxException">It cannot be executed.</exception>
    public static (LoggingBinary Logger, FileDescriptor Stdout, FileDescriptor Stderr) Start(string stream, string id, string space)
    {
        var address = TryParse(stream) ?? throw new ArgumentException(stream);
        var (stdoutRead, stdout) = Files.Pipe();
        var (stderrRead, stderr) = Files.Pipe();
        var (ready, readyWrite) = Files.Pipe();
        LoggingBinary? logger = null;
        try
        {
            using (stdoutRead)
            using (stderrRead)
            using (readyWrite)
            {
                logger = new LoggingBinary(ChildProcess.Start(new ProcessStart
                {
                    Path = address.Path,
                    Arguments = [address.Path, .. address.Arguments],
                    Environment = [$"CONTAINER_ID={id}", $"CONTAINER_NAMESPACE={space}"],
                    Descriptors = [(stdoutRead, StdoutNumber), (stderrRead, StderrNumber), (readyWrite, ReadyNumber)],
                }));
            }
            logger.AwaitReady(ready, address);
            return (logger, stdout, stderr);
        }
        catch
        {
            _ = logger?._process.Signal(Signals.SIGKILL);
            logger?.Dispose();
            stdout.Dispose();
            stderr.Dispose();
            throw;
        }
        finally
        {
            ready.Dispose();
        }
    }

    /// <summary>Waits until it has written what it has read and ended; ends one that does not.</summary>
    public async Task EndAsync()
    {
        var ended = _process.Exited;
        if (await Task.WhenAny(ended, Task.Delay(EndPatience)) == ended)
            return;
        _process.Signal(Signals.SIGTERM);
        if (await Task.WhenAny(ended, Task.Delay(TermPatience)) == ended)
            return;
        _process.Signal(Signals.SIGKILL);
        await ended;
    }

    public void Dispose() => _process.Dispose();

    private void AwaitReady(FileDescriptor ready, Address address)
    {
        var (said, _) = Polling.WaitAny(ready, PollEvents.Readable, _process.PidFd, PollEvents.Readable, (int)ReadyPatience.TotalMilliseconds);
        if (said == PollEvents.None)
        {
            throw new TtrpcException(StatusCode.Unknown, _process.Exited.IsCompleted
                ? $"logging binary {address.Path} ended before it was ready"
                : $"logging binary {address.Path} was not ready within {ReadyPatience.TotalSeconds:0} s");
        }
        if (Files.Read(ready, stackalloc byte[1]) == 0 && address.MustSayReady)
            throw new TtrpcException(StatusCode.Unknown, $"logging binary {address.Path} failed: it closed descriptor {ReadyNumber} without a byte");
    }

    private static Address? TryParse(string stream)
    {
        var parts = stream.Split("://", 2);
        if (parts is not [("binary" or "binary-v2") and var scheme, ['/', ..] and var rest])
            return null;
        var (path, query) = rest.Split('?', 2) is [var before, var after] ? (before, after) : (rest, "");
        return new Address(Uri.UnescapeDataString(path), Arguments(query), scheme == "binary-v2");
    }

    /// <summary>The first value of each key after its key, in the order in which they are written.</summary>
    private static List<string> Arguments(string query)
    {
        var arguments = new List<string>();
        var seen = new HashSet<string>();
        foreach (var pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var halves = pair.Split('=', 2).Select(half => Uri.UnescapeDataString(half.Replace('+', ' '))).ToArray();
            if (seen.Add(halves[0]))
                arguments.AddRange([halves[0], halves.ElementAtOrDefault(1) ?? ""]);
        }
        return arguments;
    }
}
