using System.Text;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>
/// A copy of a directory as kubelet's AtomicWriter keeps it: the files are in a directory of a name of its own, "..data" is a
/// link to that one, and what users see are links through "..data". It changes in the writer's own steps, so that whoever reads
/// or watches the copy sees what the original would have shown.
/// </summary>
internal static class VolumeCopy
{
    private const string Data = "..data", NewData = "..data_tmp";

    /// <param name="source">Open for reading.</param>
    /// <param name="copy">Open for reading; empty at first.</param>
    /// <param name="data">What the source's "..data" points to.</param>
    /// <exception cref="LinuxException">ENOENT or ESTALE: the writer was faster. ENOSPC: too large.</exception>
    public static void Update(FileDescriptor source, FileDescriptor copy, string data)
    {
        DirectoryTrees.CopyOwner(source, copy);
        if (DirectoryTrees.LinkTarget(copy, Data) != data)
        {
            CopyData(source, copy, data);
            new RootDirectory(copy).MakeLink(NewData, data, replace: true);
            DirectoryTrees.Rename(copy, NewData, Data);
        }
        var (there, here) = (Names(source), Names(copy));
        foreach (var name in there.Except(here).Where(name => IsSeen(name) && DirectoryTrees.LinkTarget(source, name) is not null))
            DirectoryTrees.CopyEntry(source, copy, Encoding.UTF8.GetBytes(name + '\0'));
        foreach (var name in here.Except(there).Where(IsSeen))
            File.Delete($"{copy.ProcPath}/{name}");
        foreach (var name in here.Where(name => !IsSeen(name) && name != Data && name != data))
            Directory.Delete($"{copy.ProcPath}/{name}", recursive: true);
    }

    private static void CopyData(FileDescriptor source, FileDescriptor copy, string data)
    {
        using var from = Files.Open(data, Files.ReadOnly | Files.Directory | Files.NoFollow, source);
        Directory.CreateDirectory($"{copy.ProcPath}/{data}");
        try
        {
            using var to = Files.Open(data, Files.ReadOnly | Files.Directory | Files.NoFollow, copy);
            TreeCopy.Copy(from, to);
        }
        catch
        {
            Directory.Delete($"{copy.ProcPath}/{data}", recursive: true);
            throw;
        }
    }

    private static bool IsSeen(string name) => !name.StartsWith("..", StringComparison.Ordinal);

    private static HashSet<string> Names(FileDescriptor directory)
    {
        using var fromStart = Files.Reopen(directory, Files.ReadOnly | Files.Directory);
        return [.. DirectoryTrees.Names(fromStart).Select(name => Encoding.UTF8.GetString(name.AsSpan()[..^1]))];
    }
}
