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

    /// <summary>Those of a first container that has no process: new ones of some kinds, the guest's own of the others.</summary>
    /// <param name="network">The network namespace, unless it is among the new ones; null: the guest's own.</param>
    /// <param name="setUp">Runs in them.</param>
    public static SandboxNamespaces Make(Namespaces kinds, FileDescriptor? network, Action setUp)
    {
        var files = new Dictionary<Namespaces, FileDescriptor>();
        using var own = NamespaceFiles.Own(Namespaces.Network);
        NetworkNamespaces.Run(network ?? own, () =>
        {
            NamespaceThread.Separate(kinds);
            foreach (var kind in _kinds.Where(kind => kind is not (Namespaces.Pid or Namespaces.User)))
                files[kind] = NamespaceFiles.Own(kind);
            setUp();
        });
        return new(files, null);
    }

    /// <exception cref="ContainerException">The first container has none of its own.</exception>
    public FileDescriptor this[Namespaces kind] => _files.TryGetValue(kind, out var file)
        ? file : throw new ContainerException($"linux.namespaces: the sandbox has no {kind.Names()} namespace to share");

    public bool Has(Namespaces kind) => _files.ContainsKey(kind);

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
