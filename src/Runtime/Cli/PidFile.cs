using KataLike.Linux;

namespace KataLike.Runtime.Cli;

/// <summary>What tells a caller the stub's pid: --pid-file and --pidfd-socket. Only what has been created is told.</summary>
internal static class PidFile
{
    public static void Tell(Options options, int pid)
    {
        if (options.Text("pid-file") is { } path)
            Write(path, pid);
        if (options.Text("pidfd-socket") is { } socket)
        {
            using var descriptor = Processes.Open(pid);
            DescriptorSocket.Send(socket, "pidfd", descriptor);
        }
    }

    /// <summary>Appears with its content: nobody reads half a number.</summary>
    private static void Write(string path, int pid)
    {
        path = Path.GetFullPath(path);
        var partial = Path.Combine(Path.GetDirectoryName(path) ?? "/", $".{Path.GetFileName(path)}");
        try
        {
            File.WriteAllText(partial, $"{pid}");
            File.Move(partial, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"cannot write pid file {path}: {e.Message}", cause: e);
        }
    }
}
