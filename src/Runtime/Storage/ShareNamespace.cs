using System.Collections.Concurrent;
using KataLike.Contract;
using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>
/// One thread in a mount namespace of its own, which holds everything that the guest sees of the host. Children that are
/// started here see it too, and die with the thread; the process's other threads stay in the host's namespace.
/// </summary>
/// <remarks>
/// The shared directory is a small tmpfs, mounted twice: at the bottom writable, for our mount points, and on top of it
/// read-only and with shared propagation. virtiofsd serves the top, so that the guest can create nothing there, and
/// sees what is mounted later. Nothing of this is in the host's namespace or on its disk: when the process ends, it is gone.
/// </remarks>
internal sealed class ShareNamespace : IDisposable
{
    private const int SigKill = 9;

    private readonly BlockingCollection<Action> _work = [];
    private readonly CommonVolumes _common = new();
    private readonly Thread _thread;
    private string _shared;
    private FileDescriptor? _writable;

    private ShareNamespace(string shared)
    {
        _shared = shared;
        _thread = new Thread(Work, maxStackSize: 256 * 1024) { IsBackground = true, Name = "shares" };
        _thread.Start();
    }

    /// <param name="shared">An empty directory of the host, the mount point.</param>
    /// <param name="network">The children's network namespace; null: the process's.</param>
    public static ShareNamespace Enter(string shared, FileDescriptor? network = null)
    {
        var space = new ShareNamespace(shared);
        try
        {
            space.Run(space.SetUp);
            if (network is not null)
                space.Run(() => NetworkNamespaces.Enter(network));
            return space;
        }
        catch
        {
            space.Dispose();
            throw;
        }
    }

    /// <summary>The mount point has been renamed, and children are from now on started in this network namespace.</summary>
    public void Move(string shared, FileDescriptor network)
    {
        _shared = shared;
        Run(() => NetworkNamespaces.Enter(network));
    }

    /// <summary>Starts a child that lives no longer than this object.</summary>
    public ChildProcess Start(ProcessStart start) => ChildProcess.Start(start with { ParentDeathSignal = SigKill }, Run);

    /// <summary>Shares what a container needs of the host; the plan's overlay then says where.</summary>
    /// <exception cref="RuntimeException">A source does not exist or cannot be mounted; nothing stays attached.</exception>
    public void Attach(string containerId, SharePlan plan)
    {
        Directory.CreateDirectory($"{_writable!.ProcPath}/{containerId}");
        try
        {
            foreach (var share in plan.Shares)
            {
                // On the caller's thread, which sees the source as the host does.
                using var source = Open(share);
                if (share.IsCommon)
                    plan.Told(share).Shared = $"{Hypervisor.SharedFiles.Tag}/{_common.Add(containerId, share, source, place => Attach(share, source, place))}";
                else
                    Attach(share, source, $"{containerId}/{share.Name}");
            }
            var layers = new List<(string Source, string Place)>();
            foreach (var fileSystem in plan.FileSystems)
                Attach(containerId, fileSystem, layers);
        }
        catch (Exception error)
        {
            Detach(containerId);
            throw error is IOException and not LinuxException ? new RuntimeException($"cannot share with the guest: {error.Message}", cause: error) : error;
        }
    }

    /// <summary>Takes back all that a container was given; in use or not, it vanishes from the guest.</summary>
    public void Detach(string containerId)
    {
        var directory = $"{_writable!.ProcPath}/{containerId}";
        if (!Directory.Exists(directory))
            return;
        foreach (var entry in Directory.EnumerateFileSystemEntries(directory))
        {
            Run(() =>
            {
                MountNamespace.DetachAll($"{_shared}/{containerId}/{Path.GetFileName(entry)}");
                MountNamespace.DetachAll(entry);
            });
        }
        Directory.Delete(directory, recursive: true);
        _common.Remove(containerId, place =>
        {
            Run(() => MountNamespace.DetachAll($"{_shared}/{place}"));
            var path = $"{_writable.ProcPath}/{place}";
            if (Directory.Exists(path))
                Directory.Delete(path);
            else
                File.Delete(path);
        });
    }

    /// <param name="place">Below the shared directory.</param>
    private void Attach(HostShare share, FileDescriptor source, string place)
    {
        try
        {
            using var tree = Mounts.Clone(source, share.Recursive);
            Mounts.Change(tree, share.ReadOnlyBelow ? MountAttributes.ReadOnly : 0, propagation: share.Propagation, recursive: true);
            if (share.ReadOnly)
                Mounts.Change(tree, MountAttributes.ReadOnly);
            if (share.Ids is { } ids)
                IdMaps.Apply(tree, ids);
            var path = $"{_writable!.ProcPath}/{place}";
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            if (Files.Status(tree).IsDirectory)
                Directory.CreateDirectory(path);
            else
                File.WriteAllBytes(path, []);
            Run(() => Mounts.Attach(tree, $"{_shared}/{place}"));
        }
        catch (LinuxException error)
        {
            throw Failed(share.Source, share.Destination, error.Message, error);
        }
    }

    private static FileDescriptor Open(HostShare share)
    {
        try
        {
            if (share.Bundle is null)
                return OpenSource(share);
            using var bundle = Files.Open(share.Bundle, Files.PathOnly);
            return RootDirectory.OpenWithoutLinks(Path.GetFullPath(share.Source, RootDirectory.Path(bundle)), Files.PathOnly | Files.Directory);
        }
        catch (LinuxException error)
        {
            throw share.Bundle is null ? Failed(share.Source, share.Destination, $"stat {share.Source}: {error.Errno.Text()}", error)
                : error.Errno == Errno.ELOOP ? new RuntimeException("invalid rootfs: not an absolute path, or a symlink", cause: error)
                : new RuntimeException($"invalid rootfs: stat {error.Operand}: {error.Errno.Text()}", cause: error);
        }
    }

    /// <summary>A link must not bring the host's own kernel files and devices into the guest, which the plan keeps out.</summary>
    private static FileDescriptor OpenSource(HostShare share)
    {
        var source = Files.Open(share.Source, Files.PathOnly);
        var path = RootDirectory.Path(source);
        if (path == share.Source || !SharePlan.IsGuests(path))
            return source;
        source.Dispose();
        throw Failed(share.Source, share.Destination, $"it leads to {path}: give that path, and the guest's own will be mounted");
    }

    /// <param name="layers">Those before it, to which it is added if it is one.</param>
    private void Attach(string containerId, HostFileSystem fileSystem, List<(string Source, string Place)> layers)
    {
        var (name, given, destination) = fileSystem;
        if (given.IsBind && layers.Count == 0 && !fileSystem.IsLayer)
        {
            var share = new HostShare(given.Source, name) { ReadOnly = given.Options.Contains("ro") };
            using var source = Open(share);
            Attach(share, source, $"{containerId}/{name}");
            return;
        }
        var below = $"{_writable!.ProcPath}/{containerId}/{name}";
        Directory.CreateDirectory(below);
        var (mount, directories) = LayeredMount.Resolve(given, layers);
        try
        {
            // What is mounted at the bottom is not on top, where virtiofsd looks.
            Run(() => Mount(mount, directories, fileSystem.IsLayer ? below : $"{_shared}/{containerId}/{name}"));
        }
        catch (LinuxException error)
        {
            throw name.StartsWith(SharePlan.RootfsName, StringComparison.Ordinal)
                ? new RuntimeException($"root file system {mount.Type} {mount.Source}: {error.Errno.Text()}", cause: error)
                : Failed(mount.Source, destination, $"{mount.Type}: {error.Errno.Text()}", error);
        }
        if (fileSystem.IsLayer)
            layers.Add((mount.Source, below));
    }

    private static void Mount(RootfsMount mount, IReadOnlyList<NewDirectory> directories, string place)
    {
        foreach (var (path, mode, owner) in directories.Where(directory => !Directory.Exists(directory.Path)))
        {
            Directory.CreateDirectory(path);
            File.SetUnixFileMode(path, mode);
            using var made = Files.Open(path, Files.ReadOnly | Files.Directory);
            if (owner is var (user, group))
                _ = ProcessAttributes.TryGive(made, user, group);
        }
        if (!mount.IsBind)
        {
            LoopMount.Mount(mount, place);
            return;
        }
        using var source = Files.Open(mount.Source, Files.PathOnly);
        using var tree = Mounts.Clone(source, recursive: true);
        Mounts.Change(tree, 0, propagation: MountPropagation.Private, recursive: true);
        if (mount.Options.Contains("ro"))
            Mounts.Change(tree, MountAttributes.ReadOnly);
        Mounts.Attach(tree, place);
    }

    /// <summary>In runc's words.</summary>
    private static RuntimeException Failed(string source, string destination, string reason, Exception? cause = null) =>
        new(OneLine.Of($"error mounting \"{source}\" to rootfs at \"{destination}\": {reason}"), cause: cause);

    private void SetUp()
    {
        MountNamespace.Leave();
        MountNamespace.Mount("katalike", _shared, "tmpfs", ["mode=0700", "size=4m", "nr_inodes=64k", "nosuid", "nodev", "noexec"]);
        _writable = Files.Open(_shared, Files.PathOnly | Files.Directory);
        using var top = Mounts.Clone(_shared, recursive: false);
        Mounts.Change(top, MountAttributes.ReadOnly);
        Mounts.Attach(top, _shared);
        MountNamespace.SetPropagation(_shared, MountPropagation.Shared);
    }

    /// <summary>Runs system calls on the thread. No thread may be created there: it would be born into the namespace.</summary>
    private void Run(Action action)
    {
        var done = new TaskCompletionSource();
        _work.Add(() =>
        {
            try
            {
                action();
                done.SetResult();
            }
            catch (Exception error)
            {
                done.SetException(error);
            }
        });
        done.Task.GetAwaiter().GetResult();
    }

    private void Work()
    {
        foreach (var action in _work.GetConsumingEnumerable())
            action();
    }

    /// <summary>Ends the thread: its children are killed, and with the last of them the mounts vanish.</summary>
    public void Dispose()
    {
        _work.CompleteAdding();
        _thread.Join();
        _writable?.Dispose();
    }
}
