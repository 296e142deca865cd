namespace KataLike.Contract.Oci;

/// <summary>A document that the OCI runtime specification does not allow: where, and why, in one line.</summary>
/// <remarks>The caller adds the file's name.</remarks>
public sealed class OciException(string path, string reason, Exception? cause = null)
    : Exception(OneLine.Of($"{path}: {reason}"), cause)
{
    /// <summary>JSON path, for example "$.process.args".</summary>
    public string Path { get; } = path;
}
