namespace KataLike.Contract.Oci;

/// <summary>A document that the OCI runtime specification does not allow: where, and why, in one line.</summary>
/// <remarks>The caller adds the file's name.</remarks>
public sealed class OciException(string path, string reason, Exception? cause = null)
    : Exception(OneLine($"{path}: {reason}"), cause)
{
    private const int MaxLength = 500;

    /// <summary>JSON path, for example "$.process.args".</summary>
    public string Path { get; } = path;

    /// <summary>The document's own keys and values stand in the message: no line breaks or escapes of a terminal, no books.</summary>
    private static string OneLine(string message)
    {
        if (message.Length > MaxLength)
            message = $"{message.AsSpan(0, MaxLength)}...";
        return string.Create(message.Length, message, static (line, text) =>
        {
            for (int i = 0; i < line.Length; i++)
                line[i] = char.IsControl(text[i]) ? '?' : text[i];
        });
    }
}
