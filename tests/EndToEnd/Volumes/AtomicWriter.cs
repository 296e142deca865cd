namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>Writes a volume in the steps of kubelet's AtomicWriter (pkg/volume/util/atomic_writer.go).</summary>
internal sealed class AtomicWriter(string directory)
{
    private readonly HashSet<string> _seen = [];
    private int _version;

    public string Path => Directory.CreateDirectory(directory).FullName;

    /// <summary>Name of the directory that holds the files now.</summary>
    public string Data => $"..2026_01_02_03_04_05.{_version}";

    public void Write(UnixFileMode mode, params (string Name, string Content)[] files)
    {
        var old = Data;
        _version++;
        foreach (var (name, content) in files)
        {
            var file = $"{Path}/{Data}/{name}";
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(file)!);
            File.WriteAllText(file, content);
            File.SetUnixFileMode(file, mode);
        }
        File.CreateSymbolicLink($"{Path}/..data_tmp", Data);
        // As rename(2) does it: File.Move follows the link.
        Assert.Equal(0, Containerd.HostCommand.RunAsync("mv", ["-T", $"{Path}/..data_tmp", $"{Path}/..data"]).GetAwaiter().GetResult().ExitCode);
        var names = files.Select(file => file.Name.Split('/')[0]).ToHashSet();
        foreach (var name in names.Except(_seen))
            File.CreateSymbolicLink($"{Path}/{name}", $"..data/{name}");
        foreach (var name in _seen.Except(names))
            File.Delete($"{Path}/{name}");
        _seen.Clear();
        _seen.UnionWith(names);
        if (_version > 1)
            Directory.Delete($"{Path}/{old}", recursive: true);
    }
}
