using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// The host's cgroup of a pod's sandbox, which the specification names (linux.cgroupsPath). The sandbox process joins it before it
/// starts anything, so that kubelet's limits hold for the machine and its figures are found where cAdvisor and containerd look.
/// </summary>
/// <remarks>The limits of the sandbox's own container are not applied here: they are meant for a process that sleeps.</remarks>
internal sealed class HostCgroup
{
    private const string Procs = "cgroup.procs", UnifiedRoot = "/sys/fs/cgroup";

    private static readonly TimeSpan EndingPatience = TimeSpan.FromSeconds(4), Pause = TimeSpan.FromMilliseconds(10);

    private readonly IReadOnlyList<(string Root, string Path)> _directories;

    private HostCgroup(IReadOnlyList<(string, string)> directories) => _directories = directories;

    internal IEnumerable<string> Paths => _directories.Select(directory => directory.Path);

    /// <param name="spec">Where it names none, none is made.</param>
    /// <param name="mounts">Lines of /proc/self/mountinfo.</param>
    public static HostCgroup Of(Spec spec, IEnumerable<string> mounts)
    {
        var path = PathOf(spec.Linux?.CgroupsPath ?? "");
        return new(path.Length == 0 ? [] : [.. Hierarchies(mounts).Select(root => (root, $"{root}/{path}"))]);
    }

    /// <summary>Those of another process, as far as this one is not in them.</summary>
    /// <param name="lines">Of its /proc/PID/cgroup.</param>
    /// <param name="mounts">Lines of /proc/self/mountinfo.</param>
    public static HostCgroup OfProcess(IEnumerable<string> lines, IReadOnlyList<string> mounts) => new(
    [
        .. from line in lines.Except(OwnMemberships())
           let fields = line.Split(':', 3)
           where fields.Length == 3 && !fields[2].Contains("..", StringComparison.Ordinal)
           let root = MountPointOf(fields[1], mounts)
           where root is not null
           select (root, $"{root}/{fields[2].TrimStart('/')}"),
    ]);

    /// <summary>Lines of /proc/self/cgroup: number, controllers, path.</summary>
    public static IReadOnlyList<string> OwnMemberships() => File.ReadAllLines("/proc/self/cgroup");

    /// <summary>Makes it in every hierarchy and moves this process there. Where the host does not allow that, says so.</summary>
    /// <param name="others">Processes that are moved too.</param>
    public void Enter(IReadOnlyList<int> others, Action<string> warn)
    {
        foreach (var (root, path) in _directories)
        {
            try
            {
                Make(root, path);
                foreach (var process in (IEnumerable<int>)[Environment.ProcessId, .. others])
                    KernelFiles.Write($"{path}/{Procs}", $"{process}");
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                warn($"cgroup {path}: {e.Message}: limits of the pod do not hold for its machine there");
            }
        }
    }

    /// <summary>Leaves and removes it, when the process's children have ended.</summary>
    public void Leave()
    {
        foreach (var (root, _) in _directories)
            Try(() => KernelFiles.Write($"{root}/{Procs}", $"{Environment.ProcessId}"));
        Remove();
    }

    /// <summary>Removes what a dead process left. What it has started may take a moment to end; one that others are in stays.</summary>
    public void Remove()
    {
        for (var waited = TimeSpan.Zero; waited < EndingPatience && _directories.Any(directory => Directory.Exists(directory.Path)); waited += Pause)
        {
            if (waited > TimeSpan.Zero)
                Thread.Sleep(Pause);
            foreach (var (_, path) in _directories)
                Try(() => Directory.Delete(path));
        }
    }

    /// <summary>
    /// A path of the file system, relative; for systemd's form "a-b.slice:prefix:name" where systemd has its units:
    /// a.slice/a-b.slice/prefix-name.scope.
    /// </summary>
    internal static string PathOf(string cgroupsPath)
    {
        if (cgroupsPath.Split(':') is [var slice, var prefix, var name])
        {
            var parts = slice.Replace(".slice", "", StringComparison.Ordinal).Split('-', StringSplitOptions.RemoveEmptyEntries);
            var slices = parts.Select((_, i) => string.Join('-', parts[..(i + 1)]) + ".slice");
            cgroupsPath = $"{string.Join('/', slices)}/{prefix}-{name}.scope";
        }
        return string.Join('/', cgroupsPath.Split('/').Where(part => part is not ("" or "." or "..")));
    }

    /// <summary>The mount points of version 1, of which there is one for each controller; or the one of version 2.</summary>
    private static IEnumerable<string> Hierarchies(IEnumerable<string> mounts)
    {
        foreach (var line in mounts)
        {
            var (fields, type) = (line.Split(' '), line[(line.IndexOf(" - ", StringComparison.Ordinal) + 3)..]);
            if (type.StartsWith("cgroup ", StringComparison.Ordinal) || type.StartsWith("cgroup2 ", StringComparison.Ordinal) && fields[4] == UnifiedRoot)
                yield return fields[4];
        }
    }

    /// <param name="controllers">As /proc/PID/cgroup has them: "cpu,cpuacct", "name=systemd"; empty: version 2's.</param>
    private static string? MountPointOf(string controllers, IEnumerable<string> mounts)
    {
        foreach (var line in mounts)
        {
            var (fields, type) = (line.Split(' '), line[(line.IndexOf(" - ", StringComparison.Ordinal) + 3)..].Split(' '));
            if (fields[3] == "/" && (controllers.Length == 0 ? type[0] == "cgroup2"
                : type[0] == "cgroup" && controllers.Split(',').All(type[^1].Split(',').Contains)))
                return fields[4];
        }
        return null;
    }

    private static void Make(string root, string path)
    {
        var missing = new Stack<string>();
        for (var place = path; place.Length > root.Length && !Directory.Exists(place); place = Path.GetDirectoryName(place)!)
            missing.Push(place);
        foreach (var place in missing)
        {
            var above = Path.GetDirectoryName(place)!;
            if (File.Exists($"{above}/cgroup.controllers"))
                Try(() => EnableControllers(above));
            Directory.CreateDirectory(place);
            // Version 1: nobody can join a cpuset without processors, and a new one has none.
            foreach (var set in (string[])["cpuset.cpus", "cpuset.mems"])
            {
                if (File.Exists($"{place}/cpuset.cpu_exclusive"))
                    KernelFiles.Write($"{place}/{set}", KernelFiles.Read($"{above}/{set}").Trim());
            }
        }
    }

    private static void EnableControllers(string directory)
    {
        foreach (var controller in KernelFiles.Read($"{directory}/cgroup.controllers").Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries))
            Try(() => KernelFiles.Write($"{directory}/cgroup.subtree_control", $"+{controller}"));
    }

    private static void Try(Action step)
    {
        try
        {
            step();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What is not ours to change stays as it is.
        }
    }
}
