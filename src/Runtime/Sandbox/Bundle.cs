using System.Text.Json.Nodes;
using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>A bundle on the host: its directory (absolute), config.json byte for byte, and what that says.</summary>
internal sealed record Bundle(string Directory, byte[] Config, Spec Spec)
{
    /// <summary>What fits a message to the agent with room to spare.</summary>
    private const long MaxConfig = 3 << 20;

    /// <summary>Absolute path.</summary>
    public string Rootfs => Path.GetFullPath(Spec.Root!.Path, Directory);

    /// <summary>Which containers share its sandbox; null: it stands alone.</summary>
    public string? Group => SandboxGroup.Of(Spec);

    /// <summary>It belongs into a sandbox that must be there already.</summary>
    public bool NeedsSandbox => SandboxGroup.IsMember(Spec);

    /// <summary>It is the one that holds a pod's namespaces.</summary>
    public bool IsSandboxContainer => SandboxGroup.IsHolder(Spec);

    /// <summary>The bundle that a person or caller names: says what is missing in it, in runc's words.</summary>
    /// <exception cref="RuntimeException">Anything that is missing or wrong, by path.</exception>
    public static Bundle Open(string directory)
    {
        directory = Path.GetFullPath(directory);
        if (!System.IO.Directory.Exists(directory))
            throw new RuntimeException($"chdir {directory}: {Absence(directory)}");
        var bundle = Load(directory);
        if (!System.IO.Directory.Exists(bundle.Rootfs))
            throw new RuntimeException($"invalid rootfs: stat {bundle.Rootfs}: {Absence(bundle.Rootfs)}");
        return bundle;
    }

    /// <exception cref="RuntimeException">There is none, or config.json is not valid: names the JSON path.</exception>
    public static Bundle Load(string directory)
    {
        var path = Path.Combine(directory, "config.json");
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxConfig })
                throw new RuntimeException($"{path}: larger than {MaxConfig >> 20} MiB");
            var config = File.ReadAllBytes(path);
            var spec = Spec.Parse(config);
            RefuseHostNetwork(spec);
            return new Bundle(Path.GetFullPath(directory), config, spec);
        }
        catch (OciException error)
        {
            throw new RuntimeException($"{path}: {error.Message}", cause: error);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new RuntimeException($"JSON specification file {path} not found", cause: error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"{path}: {error.Message}", cause: error);
        }
    }

    /// <summary>The same with files of the host bound read-only to those destinations that have no mount yet.</summary>
    public Bundle With(IReadOnlyDictionary<string, string> files)
    {
        var config = JsonNode.Parse(Config)!.AsObject();
        if (config["mounts"] is not JsonArray mounts)
            config["mounts"] = mounts = [];
        foreach (var (destination, source) in files.Where(file => Spec.Mounts?.Any(mount => mount.Destination == file.Key) is not true))
        {
            mounts.Add((JsonNode)new JsonObject
            {
                ["destination"] = destination,
                ["type"] = "bind",
                ["source"] = source,
                ["options"] = new JsonArray("rbind", "rprivate", "ro"),
            });
        }
        var bytes = System.Text.Encoding.UTF8.GetBytes(config.ToJsonString());
        return this with { Config = bytes, Spec = Spec.Parse(bytes) };
    }

    /// <summary>The configuration with what the bundle's annotations and vm section choose.</summary>
    /// <exception cref="RuntimeException">It is not allowed to.</exception>
    public Configuration Choose(Configuration configuration)
    {
        try
        {
            return VmSection.Apply(Spec.Vm, PodAnnotations.Apply(Spec.Annotations, configuration));
        }
        catch (OciException error)
        {
            throw new RuntimeException($"{Path.Combine(Directory, "config.json")}: {error.Message}", cause: error);
        }
    }

    /// <summary>A container without a network namespace of its own asks for the host's interfaces, which a machine cannot show.</summary>
    private static void RefuseHostNetwork(Spec spec)
    {
        if (spec.Linux?.FindNamespace("network") is null)
        {
            throw new OciException(
                "$.linux.namespaces",
                "the host's network cannot be shared with a virtual machine: add a network namespace (for Podman: --network none)");
        }
    }

    private static string Absence(string directory) => File.Exists(directory) ? "not a directory" : "no such file or directory";
}

/// <summary>Which containers share a sandbox: those whose annotations name the same group.</summary>
internal static class SandboxGroup
{
    /// <summary>The first of these that is present counts: containerd's own label, then those of the CRI servers.</summary>
    private static readonly string[] Names =
    [
        "io.containerd.runc.v2.group",
        "io.kubernetes.cri.sandbox-id",
        "io.kubernetes.cri-o.SandboxID",
        "io.kubernetes.sandbox.id",
    ];

    private static readonly string[] Types =
    [
        "io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType", "io.kubernetes.docker.type",
    ];

    public static string? Of(Spec spec) =>
        IsAloneInPod(spec) ? null : Values(spec.Annotations, Names).FirstOrDefault(value => value.Length > 0);

    /// <summary>It is not the first container of its group.</summary>
    public static bool IsMember(Spec spec) => Type(spec) == "container" && !IsAloneInPod(spec);

    public static bool IsHolder(Spec spec) => Type(spec) is "sandbox" or "podsandbox";

    /// <summary>
    /// Podman names the pod also where its containers share nothing (--share none), or nobody holds what they could share
    /// (--infra=false). It names namespaces of another container by a pid, a network of the container's own by a file in /run/netns.
    /// </summary>
    private static bool IsAloneInPod(Spec spec) =>
        Type(spec) == "container" && spec.Annotations?.GetValueOrDefault("io.container.manager") == "libpod" &&
        spec.Linux?.Namespaces?.Any(space => space.Path?.StartsWith("/proc/", StringComparison.Ordinal) is true) is not true;

    private static string? Type(Spec spec) => Values(spec.Annotations, Types).FirstOrDefault();

    private static IEnumerable<string> Values(IReadOnlyDictionary<string, string>? annotations, string[] names) =>
        from name in names
        let value = annotations?.GetValueOrDefault(name)
        where value is not null
        select value;
}
