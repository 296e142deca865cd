using System.Threading.Channels;
using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>A directory as kubelet's AtomicWriter keeps it: links through "..data" to a directory that is swapped as a whole.</summary>
internal static class AtomicDirectory
{
    public const string Data = "..data";

    /// <summary>Opens a directory that nobody but such a writer fills; null for any other.</summary>
    /// <returns>A mount of its own: an open file would keep the host from unmounting what the directory is on.</returns>
    public static FileDescriptor? TryOpen(string path)
    {
        try
        {
            using var directory = Files.Open(path, Files.ReadOnly | Files.Directory);
            return IsOne(directory) ? Mounts.Clone(directory, recursive: false) : null;
        }
        catch (LinuxException)
        {
            return null;
        }
    }

    private static bool IsOne(FileDescriptor directory) =>
        DirectoryTrees.LinkTarget(directory, Data) is { } data && !data.Contains('/') && data.StartsWith("..", StringComparison.Ordinal)
        && DirectoryTrees.Names(directory).All(name => IsOfWriter(directory, name));

    private static bool IsOfWriter(FileDescriptor directory, byte[] name)
    {
        try
        {
            using var entry = Files.Open(name, Files.PathOnly | Files.NoFollow, directory);
            var status = Files.Status(entry);
            return status.IsLink || (status.IsDirectory && name.AsSpan().StartsWith(".."u8));
        }
        catch (LinuxException error) when (error.Errno == Errno.ENOENT)
        {
            return true; // the writer is at work
        }
    }
}

/// <summary>One mount of one container whose source is an <see cref="AtomicDirectory"/>.</summary>
/// <param name="shared">Its path among the shares, for the agent.</param>
internal sealed class LiveVolume(string containerId, string shared, FileDescriptor directory) : IDisposable
{
    private readonly Channel<bool> _changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    public string ContainerId => containerId;

    public string Shared => shared;

    public FileDescriptor Directory => directory;

    /// <summary>The watch that tells of its changes.</summary>
    public int Watch { get; set; }

    /// <summary>What "..data" points to; null when it is gone.</summary>
    public string? Data => DirectoryTrees.LinkTarget(directory, AtomicDirectory.Data);

    public void NoteChange() => _changes.Writer.TryWrite(true);

    /// <summary>Waits until there has been a change, or several; false when nobody wants to know any more.</summary>
    public async ValueTask<bool> ChangedAsync() => await _changes.Reader.WaitToReadAsync() && _changes.Reader.TryRead(out _);

    public void Dispose()
    {
        _changes.Writer.TryComplete();
        directory.Dispose();
    }
}
