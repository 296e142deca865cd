using KataLike.Agent.Containers;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Cgroups;

/// <summary>A container's cgroup.</summary>
internal sealed class Cgroup : IDisposable
{
    /// <summary>Milliseconds that the kernel gets to end or freeze the processes of a cgroup.</summary>
    private const int Patience = 10_000;

    private readonly CgroupRoot _root;
    private FileDescriptor? _deviceProgram;
    private int? _watched;

    internal Cgroup(CgroupRoot root, string path)
    {
        (_root, Path) = (root, path);
        Directory = Files.Open(path, Files.ReadOnly | Files.Directory);
    }

    public string Path { get; }

    /// <summary>For a process that is born in it.</summary>
    public FileDescriptor Directory { get; }

    /// <exception cref="ContainerException">The kernel has no such limit, or refuses the value.</exception>
    public void Apply(IEnumerable<CgroupSetting> settings)
    {
        foreach (var setting in settings)
        {
            try
            {
                KernelFiles.Write(setting.File, setting.IsCpuset ? _root.InGuest(setting) : setting.Value, Directory);
            }
            catch (LinuxException e) when (e.Errno == Errno.ENOENT && setting.Optional)
            {
            }
            catch (LinuxException e) when (setting.IsUnified && e.Errno is Errno.ENOENT or Errno.EPERM or Errno.EACCES && !HasControllerOf(setting.File))
            {
                // runc's words, which Podman and tests of others match.
                throw new ContainerException($"unified resource \"{setting.File}\" can't be set: controller \"{ControllerOf(setting.File)}\" not available", e);
            }
            catch (LinuxException e)
            {
                var reason = e.Errno == Errno.ENOENT ? "the guest's kernel has no such limit" : e.Errno.Text();
                throw new ContainerException($"linux.resources: cannot set {setting.File} to {setting.Value}: {reason}", e);
            }
        }
    }

    /// <summary>Lets a user divide it and move its processes (cgroups(7), "Cgroups delegation"), but not lift its limits.</summary>
    public void Delegate(uint user)
    {
        _ = ProcessAttributes.TryGive(Directory, user);
        foreach (var name in Lines("/sys/kernel/cgroup/delegate"))
        {
            try
            {
                using var file = Files.Open(name, Files.PathOnly, Directory);
                _ = ProcessAttributes.TryGive(file, user);
            }
            catch (LinuxException e) when (e.Errno == Errno.ENOENT)
            {
                // Of a controller that the guest does not have.
            }
        }
    }

    /// <summary>The cgroup in it that holds a process; null: none does.</summary>
    public FileDescriptor? DirectoryOf(int pid)
    {
        var line = pid.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return Descendants(Path).FirstOrDefault(directory => Lines($"{directory}/cgroup.procs").Contains(line)) is { } found
            ? Files.Open(found, Files.ReadOnly | Files.Directory) : null;
    }

    private static string ControllerOf(string file) => file.Split('.')[0];

    private bool HasControllerOf(string file) => ControllerOf(file) == "cgroup"
        || KernelFiles.Read("cgroup.controllers", Directory).Split([' ', '\n']).Contains(ControllerOf(file));

    /// <summary>From here on only these devices can be used.</summary>
    public void LimitDevices(IEnumerable<DeviceRule> rules)
    {
        try
        {
            var program = DeviceProgram.Make(rules);
            Bpf.Attach(Directory, program, replaced: _deviceProgram);
            _deviceProgram?.Dispose();
            _deviceProgram = program;
        }
        catch (LinuxException e) when (e.Errno == Errno.E2BIG)
        {
            throw new ContainerException("linux.resources.devices: too many rules for the kernel", e);
        }
    }

    /// <summary>All processes in it and below it.</summary>
    public IReadOnlyList<int> ProcessIds() =>
    [
        .. Descendants(Path).Append(Path).SelectMany(directory =>
            Lines($"{directory}/cgroup.procs")).Select(int.Parse),
    ];

    /// <summary>Signals all processes in it and below it.</summary>
    public void Signal(int signal)
    {
        const int kill = 9;
        if (signal == kill)
        {
            KernelFiles.Write("cgroup.kill", "1", Directory);
            return;
        }
        foreach (var pid in ProcessIds())
            Processes.Kill(pid, signal);
    }

    /// <summary>Stops or continues all processes; returns when it is done.</summary>
    public void Freeze(bool frozen)
    {
        KernelFiles.Write("cgroup.freeze", frozen ? "1" : "0", Directory);
        if (!WaitFor("frozen", frozen ? 1u : 0u))
            throw new ContainerException($"the container did not {(frozen ? "freeze" : "thaw")} within {Patience / 1000} s");
    }

    public StatsResponse Stats() => CgroupStats.Read(Directory);

    /// <summary>Calls back when the memory limit has ended a process.</summary>
    public void WatchMemoryEvents(Action onKill)
    {
        var before = Kills();
        _watched = _root.Watch($"{Path}/memory.events", () =>
        {
            var now = Kills();
            if (now > Interlocked.Exchange(ref before, now))
                onKill();
        });
    }

    private ulong Kills() => CgroupStats.Table("memory.events", Directory).GetValueOrDefault("oom_kill");

    /// <summary>Ends what still runs in it, and removes it.</summary>
    /// <exception cref="ContainerException">A process does not end.</exception>
    public void Delete()
    {
        if (_watched is { } watched)
            _root.Unwatch(watched);
        try
        {
            Signal(9);
            if (!WaitFor("populated", 0))
                throw new ContainerException($"processes of the container did not end within {Patience / 1000} s");
            foreach (var directory in Descendants(Path).Append(Path))
                KernelFiles.RemoveDirectory(directory);
            _root.RemoveEmptyParents(Path);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.ENODEV)
        {
            // Removed already.
        }
    }

    public void Dispose()
    {
        _deviceProgram?.Dispose();
        Directory.Dispose();
    }

    /// <summary>Deepest first.</summary>
    private static IEnumerable<string> Descendants(string directory) =>
        System.IO.Directory.EnumerateDirectories(directory, "*", SearchOption.AllDirectories).OrderByDescending(path => path.Length);

    private static string[] Lines(string path)
    {
        try
        {
            return KernelFiles.Read(path).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.ENODEV or Errno.EOPNOTSUPP)
        {
            return [];
        }
    }

    private bool WaitFor(string key, ulong value)
    {
        var end = Environment.TickCount64 + Patience;
        while (true)
        {
            using var events = Files.Open("cgroup.events", Files.ReadOnly, Directory);
            if (CgroupStats.Parse(KernelFiles.Read(events)).GetValueOrDefault(key) == value)
                return true;
            if (Environment.TickCount64 >= end)
                return false;
            KernelFiles.WaitForChange(events, (int)Math.Max(end - Environment.TickCount64, 0));
        }
    }
}
