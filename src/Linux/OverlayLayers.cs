using System.Text;

namespace KataLike.Linux;

/// <summary>
/// Names the directories of an overlay by the numbers of open descriptors, relative to /proc/thread-self/fd: mount(2)
/// takes no more than a page of options, which 40 layers of containerd's fill.
/// </summary>
internal sealed class OverlayLayers : IDisposable
{
    private readonly List<FileDescriptor> _directories = [];

    /// <exception cref="LinuxException">A directory cannot be opened.</exception>
    public MountOption Shorten(MountOption option) => option switch
    {
        { Key: "lowerdir", Value: { } layers } => option with { Value = string.Join(':', Split(layers).Select(Number)) },
        { Key: "upperdir" or "workdir" or "lowerdir+" or "datadir+", Value: { } path } => option with { Value = Number(Unescape(path)) },
        _ => option,
    };

    /// <summary>Makes the call where the numbers mean the directories. Only for a thread with its own working directory.</summary>
    public void InPlace(Action call)
    {
        if (_directories.Count == 0)
        {
            call();
            return;
        }
        using var here = Files.Open(".", Files.PathOnly);
        using var numbers = Files.Open("/proc/thread-self/fd", Files.PathOnly);
        Libc.Check(Libc.fchdir(numbers.Number), "fchdir");
        try
        {
            call();
        }
        finally
        {
            Libc.Check(Libc.fchdir(here.Number), "fchdir");
        }
    }

    // Two colons in a row set layers of data apart: nothing is between them.
    private string Number(string path)
    {
        if (path.Length == 0)
            return "";
        var directory = Files.Open(path, Files.PathOnly | Files.Directory);
        _directories.Add(directory);
        return directory.Number.ToString();
    }

    /// <summary>At the colons, but not those with a backslash before them.</summary>
    private static IEnumerable<string> Split(string layers)
    {
        var start = 0;
        for (var i = 0; i < layers.Length; i++)
        {
            if (layers[i] == '\\')
                i++;
            else if (layers[i] == ':')
            {
                yield return Unescape(layers[start..i]);
                start = i + 1;
            }
        }
        yield return Unescape(layers[start..]);
    }

    private static string Unescape(string path)
    {
        var plain = new StringBuilder();
        for (var i = 0; i < path.Length; i++)
            plain.Append(path[i] == '\\' && i + 1 < path.Length ? path[++i] : path[i]);
        return plain.ToString();
    }

    public void Dispose() => _directories.ForEach(directory => directory.Dispose());
}
