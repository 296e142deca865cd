using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>Fills a new tmpfs with what it hides (the option "tmpcopyup").</summary>
internal static class TreeCopy
{
    private const int MaxDepth = 64;

    /// <param name="hidden">The directory below the mount.</param>
    /// <param name="mount">The root of the mount; disposed of.</param>
    public static void Copy(FileDescriptor hidden, FileDescriptor mount)
    {
        using (mount)
        using (var from = Files.Reopen(hidden, Files.ReadOnly | Files.Directory))
        {
            DirectoryTrees.CopyOwner(from, mount);
            Copy(from, mount, MaxDepth);
        }
    }

    private static void Copy(FileDescriptor from, FileDescriptor to, int depth)
    {
        foreach (var name in Directory.EnumerateFileSystemEntries(from.ProcPath).Select(path => Path.GetFileName(path)!))
        {
            if (DirectoryTrees.CopyEntry(from, to, name) is not var (source, copy))
                continue;
            using (source)
            using (copy)
            {
                if (depth > 0)
                    Copy(source, copy, depth - 1);
            }
        }
    }
}
