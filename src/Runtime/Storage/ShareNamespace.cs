using System.Collections.Concurrent;
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
    private readonly Thread _thread;
    private readonly string _shared;
    private FileDescriptor? _writable;

    private ShareNamespace(string shared)
    {
        _shared = shared;
        _thread = new Thread(Work, maxStackSize: 256 * 1024) { IsBackground = true, Name = "shares" };
        _thread.Start();
    }

    /// <param name="shared">An empty directory of the host, the mount point.</param>
    public static ShareNamespace Enter(string shared)
    {
        var space = new ShareNamespace(shared);
        try
        {
            space.Run(space.SetUp);
            return space;
        }
        catch
        {
            space.Dispose();
            throw;
        }
    }

    /// <summary>Starts a child that lives no longer than this object.</summary>
    public ChildProcess Start(ProcessStart start) => ChildProcess.Start(start with { ParentDeathSignal = SigKill }, Run);

    /// <summary>Shares what a container needs of the host.</summary>
    /// <exception cref="RuntimeException">A source does not exist or cannot be mounted; nothing stays attached.</exception>
    public void Attach(string containerId, SharePlan plan)
    {
        Directory.CreateDirectory($"{_writable!.ProcPath}/{containerId}");
        try
        {
            foreach (var share in plan.Shares)
                Attach(containerId, share);
            if (plan.Rootfs.Count > 0)
                Directory.CreateDirectory($"{_writable.ProcPath}/{containerId}/{SharePlan.RootfsName}");
            foreach (var mount in plan.Rootfs)
                AttachRootfs(containerId, mount);
        }
        catch
        {
            Detach(containerId);
            throw;
        }
    }

    /// <summary>Takes back all that a container was given; in use or not, it vanishes from the guest.</summary>
    public void Detach(string containerId)
    {
        var directory = $"{_writable!.ProcPath}/{containerId}";
        if (!Directory.Exists(directory))
            return;
        foreach (var entry in Directory.EnumerateFileSystemEntries(directory))
            Run(() => MountNamespace.DetachAll($"{_shared}/{containerId}/{Path.GetFileName(entry)}"));
        Directory.Delete(directory, recursive: true);
    }

    private void Attach(string containerId, HostShare share)
    {
        try
        {
            // On the caller's thread, which sees the source as the host does.
            using var tree = Mounts.Clone(share.Source, share.Recursive);
            var attributes = share.ReadOnly ? MountAttributes.ReadOnly : MountAttributes.None;
            Mounts.Change(tree, attributes, propagation: share.Propagation, recursive: true);
            var place = $"{_writable!.ProcPath}/{containerId}/{share.Name}";
            if (Files.Status(tree).IsDirectory)
                Directory.CreateDirectory(place);
            else
                File.WriteAllBytes(place, []);
            Run(() => Mounts.Attach(tree, $"{_shared}/{containerId}/{share.Name}"));
        }
        catch (LinuxException error)
        {
            var what = share.Name == SharePlan.RootfsName ? "root file system" : "mount source";
            throw new RuntimeException($"{what} {share.Source}: {error.Errno.Text()}", cause: error);
        }
    }

    private void AttachRootfs(string containerId, RootfsMount mount)
    {
        if (mount.IsBind)
        {
            var readOnly = mount.Options.Contains("ro");
            Attach(containerId, new HostShare(mount.Source, SharePlan.RootfsName, Recursive: true, readOnly, MountPropagation.Private));
            return;
        }
        try
        {
            Run(() => MountNamespace.Mount(mount.Source, $"{_shared}/{containerId}/{SharePlan.RootfsName}", mount.Type, mount.Options));
        }
        catch (LinuxException error)
        {
            throw new RuntimeException($"root file system {mount.Type} {mount.Source}: {error.Errno.Text()}", cause: error);
        }
    }

    private void SetUp()
    {
        MountNamespace.Leave();
        MountNamespace.Mount("katalike", _shared, "tmpfs", ["mode=0700", "size=4m", "nr_inodes=16k", "nosuid", "nodev", "noexec"]);
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
