using KataLike.Linux;

namespace KataLike.Runtime.Pools;

/// <summary>
/// Whether a process of the pool can stand in for one that the caller would start: that would be the same program, and see the
/// same files, processes and network.
/// </summary>
internal static class PoolPeer
{
    private static readonly string[] Namespaces = ["mnt", "pid", "user", "net", "ipc", "uts", "cgroup", "time"];

    /// <returns>Why it cannot; null: it can.</returns>
    public static string? Refusal(PeerCredentials caller)
    {
        if (caller.Uid != PeerCredentials.OwnUser)
            return $"it is of user {caller.Uid}";
        try
        {
            if (Namespaces.FirstOrDefault(name => Link("self", name) != Link($"{caller.Pid}", name)) is { } other)
                return $"its {other} namespace is another one";
            return !IsSame(caller.Pid, "root") ? "its root directory is another one"
                : !IsSame(caller.Pid, "exe") ? "it is another version of katalike: restart the pool"
                : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return error.Message;
        }
    }

    private static string? Link(string process, string name) => new FileInfo($"/proc/{process}/ns/{name}").LinkTarget;

    private static bool IsSame(int pid, string name)
    {
        using var own = Files.Open($"/proc/self/{name}", Files.PathOnly);
        using var callers = Files.Open($"/proc/{pid}/{name}", Files.PathOnly);
        return Files.AreSame(own, callers);
    }
}
