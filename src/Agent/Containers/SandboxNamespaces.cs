using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>The namespaces that a sandbox's containers can share: those of its first container.</summary>
internal sealed class SandboxNamespaces : IDisposable
{
    private static readonly Namespaces[] _kinds =
        [Namespaces.Pid, Namespaces.Network, Namespaces.Ipc, Namespaces.Uts, Namespaces.Cgroup];

    private readonly Dictionary<Namespaces, FileDescriptor> _files;

    private SandboxNamespaces(Dictionary<Namespaces, FileDescriptor> files) => _files = files;

    public static SandboxNamespaces Of(int pid) =>
        new(_kinds.ToDictionary(kind => kind, kind => NamespaceFiles.Of(pid, kind)));

    public FileDescriptor this[Namespaces kind] => _files[kind];

    /// <summary>A copy with a life of its own.</summary>
    public SandboxNamespaces Duplicate() => new(_files.ToDictionary(entry => entry.Key, entry => entry.Value.Duplicate()));

    public void Dispose()
    {
        foreach (var file in _files.Values)
            file.Dispose();
    }
}
