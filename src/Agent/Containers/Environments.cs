using KataLike.Agent.Rootfs;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>Environments of processes.</summary>
internal static class Environments
{
    /// <summary>HOME is the user's where the document does not set it, as with runc.</summary>
    public static IReadOnlyList<string> WithHome(ProcessPlan process, RootDirectory root, string passwords = "/etc/passwd") =>
        process.Environment.Any(entry => entry.StartsWith("HOME=", StringComparison.Ordinal))
            ? process.Environment
            : [.. process.Environment, $"HOME={PasswordFile.Home(root, process.UserId, passwords)}"];
}
