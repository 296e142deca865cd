using KataLike.Agent.Rootfs;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>Environments of processes.</summary>
internal static class Environments
{
    /// <summary>Of several values for a name the last counts, as with runc: programs would take the first.</summary>
    public static IReadOnlyList<string> EachOnce(IReadOnlyList<string> environment)
    {
        var last = new Dictionary<string, string>(environment.Count);
        foreach (var entry in environment)
            last[entry[..entry.IndexOf('=', StringComparison.Ordinal)]] = entry;
        return last.Count == environment.Count ? environment : [.. last.Values];
    }

    /// <summary>HOME is the user's where the document does not set it, or to nothing, as with runc.</summary>
    public static IReadOnlyList<string> WithHome(ProcessPlan process, RootDirectory root, string passwords = "/etc/passwd") =>
        process.Environment.Any(entry => entry.StartsWith("HOME=", StringComparison.Ordinal) && entry != "HOME=")
            ? process.Environment
            : [.. process.Environment.Where(entry => entry != "HOME="), $"HOME={PasswordFile.Home(root, process.UserId, passwords)}"];
}
