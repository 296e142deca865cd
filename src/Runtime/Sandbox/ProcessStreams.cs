using KataLike.Linux;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// The host's ends of a process's streams; they belong to the process from here on. With a terminal, Stdin is the
/// source and Stdout the sink of the one stream, and both may be the same descriptor.
/// </summary>
/// <param name="KeepOpen">Held until the process has ended, such as the other ends of FIFOs.</param>
/// <param name="Pid">The process that stands for it on the host; 0: none.</param>
/// <param name="Columns">Size of the terminal; 0: not known.</param>
internal sealed record ProcessStreams(
    bool Terminal,
    FileDescriptor? Stdin,
    FileDescriptor? Stdout,
    FileDescriptor? Stderr,
    IReadOnlyList<FileDescriptor>? KeepOpen = null,
    uint Columns = 0,
    uint Rows = 0,
    int Pid = 0) : IDisposable
{
    public static ProcessStreams None { get; } = new(false, null, null, null);

    public void Dispose()
    {
        Stdin?.Dispose();
        Stdout?.Dispose();
        Stderr?.Dispose();
        foreach (var descriptor in KeepOpen ?? [])
            descriptor.Dispose();
    }
}

/// <summary>A container to make. Rootfs: containerd's mounts; empty: the bundle's root.path.</summary>
internal sealed record ContainerRequest(string Id, string Bundle, IReadOnlyList<Storage.RootfsMount> Rootfs, ProcessStreams Streams);

/// <summary>How a process ended: 0 to 255, 128 plus the signal's number where one ended it; when, by the host's clock.</summary>
internal readonly record struct ProcessExit(uint Status, DateTimeOffset At, bool OutOfMemory)
{
    /// <summary>What is reported when the machine is gone: as if killed.</summary>
    public const uint MachineLost = 137;

    /// <summary>One line: what took the process's machine away. Null: it ended by itself or by a signal.</summary>
    public string? Loss { get; init; }

    /// <summary>The process was lost with its machine, or never came to be.</summary>
    public static ProcessExit Lost(string reason) => new(MachineLost, DateTimeOffset.UtcNow, false) { Loss = reason };
}

/// <summary>What happens in a sandbox beside the exits of processes.</summary>
internal abstract record SandboxEvent(string ContainerId)
{
    /// <summary>The container's memory limit killed one of its processes.</summary>
    public sealed record OutOfMemory(string ContainerId) : SandboxEvent(ContainerId);
}
