namespace KataLike.Linux;

/// <summary>A system call that failed: what was called, on what, and why.</summary>
/// <remarks>The one way from errno to an exception. EINTR never arrives here: the verbs retry it.</remarks>
public sealed class LinuxException(Errno errno, string call, string? operand = null)
    : IOException(operand is null ? $"{call}: {errno.Text()}" : $"{call} {operand}: {errno.Text()}")
{
    public Errno Errno { get; } = errno;

    public string Call { get; } = call;

    public string? Operand { get; } = operand;
}
