using System.Collections.Concurrent;
using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Cgroups;

/// <summary>The directory below which all containers' cgroups are.</summary>
/// <param name="path">A directory of a cgroup v2 hierarchy; it exists.</param>
internal sealed class CgroupRoot(string path)
{
    private readonly ConcurrentDictionary<int, Action> _watches = new();
    private readonly Lazy<FileWatch> _files = new(() => new FileWatch());
    private int _watching;

    /// <summary>Makes a cgroup, with all the controllers that its parents have to give.</summary>
    /// <param name="relativePath">Names separated by slashes.</param>
    /// <exception cref="ContainerException">It is there already.</exception>
    public Cgroup Create(string relativePath)
    {
        var names = relativePath.Split('/');
        var directory = path;
        foreach (var name in names)
        {
            PassOnControllers(directory);
            directory += '/' + name;
            KernelFiles.MakeDirectory(directory);
        }
        if (KernelFiles.Read($"{directory}/cgroup.procs").Length > 0)
            throw new ContainerException($"linux.cgroupsPath: {relativePath} has processes in it");
        return new Cgroup(this, directory);
    }

    private static void PassOnControllers(string directory)
    {
        var (available, enabled) = (Names("cgroup.controllers"), Names("cgroup.subtree_control"));
        foreach (var controller in available.Except(enabled))
        {
            try
            {
                KernelFiles.Write($"{directory}/cgroup.subtree_control", '+' + controller);
            }
            catch (LinuxException)
            {
                // A limit that needs it will say that it is missing.
            }
        }

        string[] Names(string file) => KernelFiles.Read($"{directory}/{file}").Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>
    /// Kubernetes' static CPU manager names processors of the host. A list that names some that the guest does not have means
    /// nothing here: then all count, also those to come. The host has given the machine as many as are to be used.
    /// </summary>
    internal string InGuest(CgroupSetting cpuset)
    {
        var all = KernelFiles.Read($"{path}/{cpuset.File}.effective");
        if (NumberList.TryParse(cpuset.Value) is not { } named || NumberList.TryParse(all) is not { } present || named.IsWithin(present))
            return cpuset.Value;
        Log.Error($"{cpuset.File} {cpuset.Value} is not followed: the guest has {all.Trim()}");
        return (cpuset.File == "cpuset.cpus" ? KernelFiles.Read("/sys/devices/system/cpu/possible") : all).Trim();
    }

    /// <summary>Removes the directories above a cgroup, as far as nothing else is in them.</summary>
    internal void RemoveEmptyParents(string directory)
    {
        for (var parent = Path.GetDirectoryName(directory)!; parent.Length > path.Length; parent = Path.GetDirectoryName(parent)!)
        {
            try
            {
                KernelFiles.RemoveDirectory(parent);
            }
            catch (LinuxException)
            {
                return;
            }
        }
    }

    /// <summary>Calls back, on one thread for all, when a file has changed.</summary>
    internal int Watch(string file, Action changed)
    {
        if (Interlocked.Exchange(ref _watching, 1) == 0)
            new Thread(WatchFiles) { IsBackground = true, Name = "cgroup events" }.Start();
        var watch = _files.Value.Add(file);
        _watches[watch] = changed;
        return watch;
    }

    internal void Unwatch(int watch)
    {
        if (_watches.TryRemove(watch, out _))
            _files.Value.Remove(watch);
    }

    private void WatchFiles()
    {
        while (true)
        {
            foreach (var changed in _files.Value.Next())
            {
                try
                {
                    _watches.GetValueOrDefault(changed)?.Invoke();
                }
                catch (LinuxException)
                {
                    // The cgroup went away meanwhile.
                }
            }
        }
    }
}
