using KataLike.Linux;

namespace KataLike.Runtime.Network;

/// <summary>
/// What somebody has set below /proc/sys/net in a pod's namespace, such as CNI's plugin "tuning": all that differs from a namespace
/// which nobody has touched, and for an interface from what a new one has there.
/// </summary>
internal sealed class NetworkSysctls(FileDescriptor space)
{
    private const string Root = "/proc/sys/net", Default = "default";

    private static readonly string[] Families = ["ipv4", "ipv6"];

    // The guest is told of these in other ways.
    private static readonly string[] Passed = ["mtu", "addr_gen_mode"];

    private readonly Task<Dictionary<string, string>> _untouched = Task.Run(() =>
    {
        using var fresh = NetworkNamespaces.Create();
        return Read(fresh, []);
    });

    private readonly SortedDictionary<string, string> _set = new(StringComparer.Ordinal);

    /// <summary>Paths below /proc/sys/net and their values. One that has been set back stays among them.</summary>
    /// <param name="interfaces">Names of those that the guest has.</param>
    public async Task<IReadOnlyCollection<KeyValuePair<string, string>>> TakeAsync(IReadOnlyList<string> interfaces)
    {
        var untouched = await _untouched;
        foreach (var (path, value) in Read(space, interfaces))
        {
            if (_set.ContainsKey(path) || untouched.GetValueOrDefault(Model(path), value) != value)
                _set[path] = value;
        }
        return _set;
    }

    /// <summary>Whose value an interface starts with.</summary>
    private static string Model(string path) =>
        path.Split('/') is [var family, "conf", not "all", var name] ? $"{family}/conf/{Default}/{name}" : path;

    private static Dictionary<string, string> Read(FileDescriptor space, IReadOnlyList<string> interfaces)
    {
        var values = new Dictionary<string, string>();
        NetworkNamespaces.Run(space, () =>
        {
            foreach (var path in Paths(interfaces))
            {
                try
                {
                    values[path] = KernelFiles.Read($"{Root}/{path}").Trim();
                }
                catch (LinuxException)
                {
                    // Some can only be written, and some have no value until they are.
                }
            }
        });
        return values;
    }

    private static IEnumerable<string> Paths(IReadOnlyList<string> interfaces) =>
        Families.Concat(from family in Families from name in interfaces.Prepend(Default).Prepend("all") select $"{family}/conf/{name}")
            .Where(directory => Directory.Exists($"{Root}/{directory}"))
            .SelectMany(directory => Directory.EnumerateFiles($"{Root}/{directory}"))
            .Where(path => !Passed.Contains(Path.GetFileName(path)))
            .Select(path => path[(Root.Length + 1)..])
            .Prepend("core/somaxconn");
}
