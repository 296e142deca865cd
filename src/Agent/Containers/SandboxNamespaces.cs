using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>The namespaces that a sandbox's containers can share: those of its first container.</summary>
internal sealed class SandboxNamespaces : IDisposable
{
    private static readonly Namespaces[] _kinds =
    [
        Namespaces.Pid, Namespaces.Network, Namespaces.Ipc, Namespaces.Uts, Namespaces.Cgroup, Namespaces.Time, Namespaces.User,
    ];

    private readonly Dictionary<Namespaces, FileDescriptor> _files;

    private SandboxNamespaces(Dictionary<Namespaces, FileDescriptor> files, IdMap? owners) => (_files, Owners) = (files, owners);

    /// <param name="owners">Ids of its user namespace; null: it is the guest's.</param>
    public static SandboxNamespaces Of(int pid, IdMap? owners) =>
        new(_kinds.ToDictionary(kind => kind, kind => NamespaceFiles.Of(pid, kind)), owners);

    public FileDescriptor this[Namespaces kind] => _files[kind];

    /// <summary>Ids of the user namespace; null: it is the guest's, which nobody needs to join.</summary>
    public IdMap? Owners { get; }

    /// <summary>A copy with a life of its own.</summary>
    public SandboxNamespaces Duplicate() => new(_files.ToDictionary(entry => entry.Key, entry => entry.Value.Duplicate()), Owners);

    public void Dispose()
    {
        foreach (var file in _files.Values)
            file.Dispose();
    }
}
