using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Pools;

namespace KataLike.Runtime.Sandboxes;

/// <summary>Brings a sandbox process into being: one of the pool becomes it, where there is one, else it is started.</summary>
internal static class SandboxProcess
{
    private const int ReadyNumber = 4;
    private const string Error = "error: ";

    /// <summary>Returns once its sockets listen, while its machine still boots.</summary>
    /// <param name="configuration">Path of the configuration; null: the usual one.</param>
    /// <param name="words">What it is told (<see cref="SandboxArguments"/>), but for these two.</param>
    /// <param name="files">Open files, and the numbers by which the words name them. Not 4.</param>
    /// <param name="silence">The message where it ends without a word.</param>
    /// <exception cref="RuntimeException">It did not come up.</exception>
    public static void Start(string? configuration, IEnumerable<string> words, IReadOnlyList<(FileDescriptor File, int Number)> files, string silence)
    {
        List<string> arguments = ["katalike", "sandbox", .. words, "--ready-fd", $"{ReadyNumber}"];
        if (configuration is not null)
            arguments.AddRange(["--config", configuration]);
        string[] environment = [.. Inherited()];
        // One of the pool that dies without a word is no reason to fail.
        var answer = Ask(ready => PoolClient.TryClaim(Configuration.Load(configuration), arguments, environment, [.. files, (ready, ReadyNumber)]));
        if (answer.Length == 0)
        {
            answer = Ask(ready =>
            {
                Start(arguments, environment, [.. files, (ready, ReadyNumber)]);
                return true;
            });
        }
        Timeline.Mark("sandbox process listens");
        if (answer != "ok")
            throw new RuntimeException(answer.StartsWith(Error, StringComparison.Ordinal) ? answer[Error.Length..] : silence);
    }

    /// <summary>What the process says; empty: nothing, or there is none.</summary>
    private static string Ask(Func<FileDescriptor, bool> begin)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            using (write)
            {
                if (!begin(write))
                    return "";
                Timeline.Mark("sandbox process found");
            }
            var answer = new StringBuilder();
            Span<byte> buffer = stackalloc byte[512];
            for (nint count; (count = Files.TryRead(read, buffer)) > 0;)
                answer.Append(Encoding.UTF8.GetString(buffer[..(int)count]));
            return answer.ToString().TrimEnd('\n');
        }
    }

    private static void Start(IReadOnlyList<string> arguments, IReadOnlyList<string> environment, IReadOnlyList<(FileDescriptor, int)> files) => ChildProcess.Start(new ProcessStart
    {
        Path = "/proc/self/exe",
        Arguments = arguments,
        Environment = environment,
        Descriptors = files,
        NewSession = true,
        WorkingDirectory = "/",
    }).Dispose();

    /// <summary>What hooks and helpers get of the caller's environment.</summary>
    private static IEnumerable<string> Inherited() =>
        from name in InheritedNames
        let value = Environment.GetEnvironmentVariable(name)
        where value is not null
        select $"{name}={value}";

    public static IReadOnlyList<string> InheritedNames { get; } = ["PATH", "HOME", "TMPDIR"];
}
