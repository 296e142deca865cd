using System.Globalization;
using System.Text;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// config.md, "POSIX-platform Hooks": those of the host (prestart, createRuntime, poststart, poststop). Each is a program of the
/// host, run in the bundle's directory with the container's state on its standard input.
/// </summary>
internal static class HostHooks
{
    private const int MaxOutput = 1024;

    /// <summary>Runs them in order; the first that fails keeps the rest from running.</summary>
    /// <param name="list">Its name in config.json, for messages.</param>
    /// <exception cref="RuntimeException">Which hook failed, and how.</exception>
    public static async Task RunAsync(string list, IReadOnlyList<Hook>? hooks, State state)
    {
        for (var i = 0; i < hooks?.Count; i++)
        {
            try
            {
                await RunAsync(hooks[i], state);
            }
            catch (Exception error) when (error is LinuxException or RuntimeException)
            {
                throw new RuntimeException($"error running {list} hook #{i}: {error.Message}", cause: error);
            }
        }
    }

    /// <summary>Runs all poststop hooks: one that fails is a warning only.</summary>
    public static async Task RunPoststopAsync(IReadOnlyList<Hook>? hooks, State state, Action<string> warn)
    {
        for (var i = 0; i < hooks?.Count; i++)
        {
            try
            {
                await RunAsync(hooks[i], state);
            }
            catch (Exception error) when (error is LinuxException or RuntimeException)
            {
                warn($"error running poststop hook #{i}: {error.Message}");
            }
        }
    }

    private static async Task RunAsync(Hook hook, State state)
    {
        // Files and not pipes: neither a hook that reads nothing nor one that leaves a child behind is waited for.
        using var input = Memory.CreateFile("state", 0);
        using var output = Memory.CreateFile("stdout", 0);
        using var error = Memory.CreateFile("stderr", 0);
        File.WriteAllBytes(input.ProcPath, state.ToUtf8Json());
        using var process = ChildProcess.Start(new ProcessStart
        {
            Path = hook.Path,
            Arguments = hook.Args is { Count: > 0 } arguments ? arguments : [hook.Path],
            Environment = hook.Env ?? [.. Inherited()],
            Descriptors = [(input, 0), (output, 1), (error, 2)],
            WorkingDirectory = Directory.Exists(state.Bundle) ? state.Bundle : "/",
        });
        var status = await ExitAsync(process, hook.Timeout);
        if (status is not { Signalled: false, Number: 0 })
        {
            var how = status.Signalled ? $"signal: {status.Number}" : $"exit status {status.Number}";
            throw new RuntimeException($"{how}, stdout: {Text(output)}, stderr: {Text(error)}");
        }
    }

    private static async Task<ExitStatus> ExitAsync(ChildProcess process, int? timeout)
    {
        try
        {
            return timeout is { } seconds ? await process.Exited.WaitAsync(TimeSpan.FromSeconds(seconds)) : await process.Exited;
        }
        catch (TimeoutException error)
        {
            process.Signal(Signals.SIGKILL);
            await process.Exited;
            throw new RuntimeException(
                string.Create(CultureInfo.InvariantCulture, $"hook ran past specified timeout of {timeout:0.0}s"), cause: error);
        }
    }

    /// <summary>As runc does for a hook without an environment.</summary>
    private static IEnumerable<string> Inherited() =>
        from System.Collections.DictionaryEntry variable in Environment.GetEnvironmentVariables()
        select $"{variable.Key}={variable.Value}";

    private static string Text(FileDescriptor file)
    {
        using var reader = Files.Reopen(file, Files.ReadOnly);
        Span<byte> buffer = stackalloc byte[MaxOutput];
        return Encoding.UTF8.GetString(buffer[..Files.Read(reader, buffer)]).Trim().ReplaceLineEndings(" ");
    }
}
