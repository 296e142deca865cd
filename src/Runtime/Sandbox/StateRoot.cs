using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime;

/// <summary>The directory that holds all state (docs/architecture.md, "State on disk"). Ids are checked before they become paths.</summary>
internal sealed class StateRoot(string path)
{
    public const string Default = "/run/katalike";

    private const int MaxId = 255;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public string Path { get; } = System.IO.Path.GetFullPath(path);

    public string ContainersDirectory => $"{Path}/containers";

    public string ContainerDirectory(string id) => $"{ContainersDirectory}/{Checked(id)}";

    public string SandboxesDirectory => $"{Path}/sandboxes";

    public string SandboxDirectory(string id) => $"{SandboxesDirectory}/{Checked(id)}";

    /// <summary>The handle on a sandbox's directory, which need not exist.</summary>
    public SandboxDirectory Sandbox(string id) => new(SandboxDirectory(id));

    /// <summary>Makes a directory below the root, and what leads to it, for the owner only.</summary>
    public static void Make(string directory)
    {
        try
        {
            // The mode is that of the last directory only.
            if (System.IO.Path.GetDirectoryName(directory) is { } parent && !Directory.Exists(parent))
                Make(parent);
            Directory.CreateDirectory(directory, OwnerOnly);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"cannot make {directory}: {error.Message}", cause: error);
        }
    }

    /// <summary>Letters, digits and _ + - . as runc's, but not . and .., at most 255.</summary>
    /// <exception cref="RuntimeException">Anything else.</exception>
    public static void ValidateId(string id)
    {
        if (id.Length is 0 or > MaxId || id is "." or ".." || !id.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '+' or '-' or '.'))
            throw new RuntimeException($"invalid container ID format: {Printable(id)}");
    }

    private static string Checked(string id)
    {
        ValidateId(id);
        return id;
    }

    private static string Printable(string id) =>
        new([.. id.Take(64).Select(c => char.IsControl(c) ? '?' : c)]);
}
