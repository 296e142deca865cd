namespace KataLike.Runtime.Hypervisor;

/// <summary>The virtual machine did not start, or is gone. Carries the last lines of QEMU's log and of the console.</summary>
internal sealed class VmException(string reason, string qemuLog = "", string console = "", Exception? cause = null)
    : Exception(reason + Tail("qemu", qemuLog) + Tail("console", console), cause)
{
    /// <summary>One line.</summary>
    public string Reason { get; } = reason;

    private static string Tail(string name, string text)
    {
        const int lines = 12;
        var last = text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).TakeLast(lines);
        return string.Concat(last.Select(line => $"\n{name}: {line}"));
    }
}
