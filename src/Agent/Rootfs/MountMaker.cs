using KataLike.Agent.Containers;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>Makes mounts below a container's root directory. All paths of the container are looked up inside it.</summary>
/// <param name="made">Mounts that only the container's first process could make, by index into the plan's mounts.</param>
/// <param name="cgroup">The container's cgroup as a path of the guest.</param>
internal sealed class MountMaker(RootPlan plan, RootDirectory root, IReadOnlyDictionary<int, FileDescriptor> made, string cgroup)
{
    // What a program may fake of proc, as with runc.
    private static readonly string[] CoverableProcFiles =
    [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
        "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
    ];

    /// <exception cref="ContainerException">It cannot be made; names the mount.</exception>
    public void Make(int index)
    {
        var mount = plan.Mounts[index];
        try
        {
            if (mount.Kind == MountKind.Remount)
                Change(mount);
            else if (mount.Kind == MountKind.Bind)
                Bind(mount);
            else
                Create(mount, made.GetValueOrDefault(index));
        }
        catch (LinuxException e)
        {
            throw mount.Failed(e.Message, e);
        }
    }

    /// <summary>Makes read-only what had to be written to until now.</summary>
    public void Finish(MountPlan mount)
    {
        using var top = root.Open(mount.Destination, Files.PathOnly);
        Mounts.Change(top, MountAttributes.ReadOnly);
    }

    private void Bind(MountPlan mount)
    {
        using var source = OpenSource(mount);
        var isDirectory = Files.Status(source).IsDirectory;
        using var target = Target(mount, isDirectory, out _);
        RefuseInsideProc(mount, target, coversProc: Mounts.IsProc(source));
        using var tree = Mounts.Clone(source, mount.Flags.Recursive);
        Attach(mount, tree, target);
    }

    private static FileDescriptor OpenSource(MountPlan mount)
    {
        try
        {
            return Files.Open(mount.Source!, Files.PathOnly);
        }
        catch (LinuxException e)
        {
            throw mount.Failed($"stat {mount.GivenSource}: {e.Errno.Text()}", e);
        }
    }

    /// <param name="ready">Made by the first process; its owner closes it.</param>
    private void Create(MountPlan mount, FileDescriptor? ready)
    {
        if (mount.Type is "proc" or "sysfs")
            RequireOrdinaryDirectory(mount);
        using var target = Target(mount, isDirectory: true, out var isNew);
        var mode = isNew ? null : ModeFrom(mount, target);
        RefuseInsideProc(mount, target, coversProc: mount.Kind == MountKind.Proc);
        using var tree = ready?.Duplicate() ?? New(mount, mode);
        if (ready is not null && mode is { } given)
            File.SetUnixFileMode(tree.ProcPath, (UnixFileMode)given);
        Attach(mount, tree, target);
        if (mount.Flags.CopyUp)
            CopyUp(mount, target);
    }

    private FileDescriptor New(MountPlan mount, uint? mode)
    {
        if (mount.Kind == MountKind.Cgroup)
            return Mounts.Clone(cgroup, recursive: false);
        var options = mode is null ? mount.Flags.Data : [new MountOption("mode", Convert.ToString(mode.Value, 8)), .. mount.Flags.Data];
        // Of a tmpfs it would be the first thing to undo.
        var isReadOnly = mount.Flags.Set.HasFlag(MountAttributes.ReadOnly) && !mount.ReadOnlyLast;
        return Mounts.Create(mount.Type!, mount.Source, isReadOnly ? [.. options, new MountOption("ro")] : options);
    }

    /// <summary>A tmpfs over a directory gets that one's mode unless it is given one.</summary>
    private static uint? ModeFrom(MountPlan mount, FileDescriptor target) =>
        mount.Type == "tmpfs" && !mount.Flags.Data.Any(option => option.Key == "mode") ? Files.Status(target).Mode & 0xfff : null;

    private FileDescriptor Target(MountPlan mount, bool isDirectory, out bool isNew)
    {
        isNew = false;
        var target = isDirectory ? root.MakeDirectories(mount.Destination, out isNew) : root.MakeFile(mount.Destination);
        var isMatch = isNew || Files.Status(target).IsDirectory == isDirectory;
        if (isMatch && root.PathOf(target) != "/")
            return target;
        target.Dispose();
        throw isMatch ? mount.Failed("the root of the container cannot be mounted over") : new LinuxException(Errno.ENOTDIR, "mount", mount.Destination);
    }

    /// <summary>proc and sysfs are what guards rely on: nothing that a link could misplace.</summary>
    private void RequireOrdinaryDirectory(MountPlan mount)
    {
        var errno = root.TryOpen(mount.Place, Files.PathOnly | Files.NoFollow, out var there);
        using (there)
        {
            if (errno is not (Errno.None or Errno.ENOENT))
                throw new LinuxException(errno, "open", mount.Place);
            if (there is not null && !Files.Status(there).IsDirectory)
                throw mount.Failed($"filesystem \"{mount.Type}\" must be mounted on ordinary directory");
        }
    }

    private void RefuseInsideProc(MountPlan mount, FileDescriptor target, bool coversProc)
    {
        var place = root.PathOf(target);
        var isInside = place.StartsWith("/proc/", StringComparison.Ordinal) && !CoverableProcFiles.Contains(place);
        if (isInside || (place == "/proc" && !coversProc))
            throw mount.Failed($"\"{place}\" cannot be mounted because it is inside /proc");
    }

    private static void Attach(MountPlan mount, FileDescriptor tree, FileDescriptor target)
    {
        var flags = mount.Flags;
        if (mount.Ids is { } ids)
            MapIds(mount, tree, ids);
        var set = mount.ReadOnlyLast ? flags.Set & ~MountAttributes.ReadOnly : flags.Set;
        // A copy of a mount has that one's attributes; as with runc, it keeps them only if it is given none.
        if (mount.Kind == MountKind.Cgroup || (mount.Kind == MountKind.Bind && flags.Set != 0))
            Replace(tree, set, flags.Clear);
        else if ((set | flags.Clear) != 0)
            Mounts.Change(tree, set, flags.Clear);
        ChangeTree(flags, tree);
        Mounts.Attach(tree, target);
    }

    private static void ChangeTree(MountFlags flags, FileDescriptor tree)
    {
        if ((flags.RecursiveSet | flags.RecursiveClear) != 0)
            Mounts.Change(tree, flags.RecursiveSet, flags.RecursiveClear, recursive: true);
        foreach (var (kind, recursive) in flags.Propagation)
            Mounts.Change(tree, 0, propagation: kind, recursive: recursive);
    }

    private static void MapIds(MountPlan mount, FileDescriptor tree, IdMappings ids)
    {
        try
        {
            IdMaps.Apply(tree, ids);
        }
        catch (LinuxException e) when (e.Call == "mount_setattr")
        {
            throw mount.Failed($"its file system cannot map ids: {e.Errno.Text()}", e);
        }
    }

    /// <summary>As remounting does: attributes that are not named are cleared, only the way of access times stays.</summary>
    private void Change(MountPlan mount)
    {
        using var target = root.Open(mount.Destination, Files.PathOnly);
        var flags = mount.Flags;
        if (!flags.Bind)
            Mounts.Reconfigure(target, [.. flags.Data, new MountOption(flags.Set.HasFlag(MountAttributes.ReadOnly) ? "ro" : "rw")]);
        Replace(target, flags.Set, flags.Clear);
        ChangeTree(flags, target);
    }

    /// <summary>Sets these attributes and clears all others, but for those that a user namespace may not take off.</summary>
    private static void Replace(FileDescriptor mount, MountAttributes set, MountAttributes clear)
    {
        try
        {
            Mounts.Change(mount, set, clear | (MountAttributes.Restrictions & ~set));
        }
        catch (LinuxException e) when (e.Errno == Errno.EPERM)
        {
            Mounts.Change(mount, set, clear);
        }
    }

    private void CopyUp(MountPlan mount, FileDescriptor hidden)
    {
        using var top = root.Open(mount.Destination, Files.ReadOnly | Files.Directory);
        try
        {
            TreeCopy.Copy(hidden, top);
        }
        catch (LinuxException e)
        {
            throw mount.Failed($"tmpcopyup: {e.Message}", e);
        }
    }
}
