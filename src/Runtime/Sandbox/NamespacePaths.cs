using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>Namespaces of the host that a bundle names. The guest cannot look at them: it only knows which kind is meant.</summary>
internal static class NamespacePaths
{
    /// <exception cref="RuntimeException">There is nothing at a path.</exception>
    public static void Check(LinuxSpec? linux)
    {
        foreach (var entry in linux?.Namespaces ?? [])
        {
            if (!string.IsNullOrEmpty(entry.Path) && !File.Exists(entry.Path))
                throw new RuntimeException($"linux.namespaces: {entry.Type}: lstat {entry.Path}: no such file or directory");
        }
    }
}
