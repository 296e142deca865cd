namespace KataLike.Runtime;

/// <summary>A failure that the user can mend: one line in lower case that says what failed, on what, and what to do.</summary>
/// <param name="exitCode">What the process exits with; runc's codes where callers match on them.</param>
internal sealed class RuntimeException(string message, int exitCode = 1, Exception? cause = null) : Exception(message, cause)
{
    public int ExitCode { get; } = exitCode;
}
