using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>Fills a new tmpfs with what it hides (the option "tmpcopyup").</summary>
internal static class TreeCopy
{
    // Each level holds two descriptors.
    private const int MaxDepth = 200;

    /// <param name="hidden">The directory below the mount.</param>
    /// <param name="mount">The root of the mount, open for reading.</param>
    public static void Copy(FileDescriptor hidden, FileDescriptor mount)
    {
        using var from = Files.Reopen(hidden, Files.ReadOnly | Files.Directory);
        DirectoryTrees.CopyOwner(from, mount);
        Copy(from, mount, MaxDepth);
    }

    private static void Copy(FileDescriptor from, FileDescriptor to, int depth)
    {
        if (depth == 0)
            throw new LinuxException(Errno.ENAMETOOLONG, "copy", $"directories more than {MaxDepth} deep");
        foreach (var name in DirectoryTrees.Names(from))
        {
            if (DirectoryTrees.CopyEntry(from, to, name) is not var (source, copy))
                continue;
            using (source)
            using (copy)
                Copy(source, copy, depth - 1);
        }
    }
}
