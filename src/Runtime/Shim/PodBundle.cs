using System.Globalization;
using System.Text.Json.Nodes;
using KataLike.Contract.Containerd.SandboxV1;

namespace KataLike.Runtime.Shim;

/// <summary>The specification of a pod's sandbox container, for a caller that knows no such container.</summary>
internal static class PodBundle
{
    // Not "rootfs", which containerd removes as an empty directory.
    private const string Root = "root";

    public static string PathIn(string bundle) => Path.Combine(bundle, "config.json");

    /// <summary>Writes it, and beside it the files that containers of a pod have in common and that nobody else makes.</summary>
    /// <returns>Where containers see those files, and where they are.</returns>
    public static IReadOnlyDictionary<string, string> Write(string bundle, CreateSandboxRequest request)
    {
        var pod = request.Options?.TypeUrl.EndsWith("runtime.v1.PodSandboxConfig", StringComparison.Ordinal) is true
            ? PodSandboxConfig.Parser.ParseFrom(request.Options.Value) : new PodSandboxConfig();
        File.WriteAllText(PathIn(bundle), From(request, pod));
        PauseProgram.Write($"{Directory.CreateDirectory(Path.Combine(bundle, Root)).FullName}/pause");
        var files = new Dictionary<string, string> { ["/etc/hostname"] = $"{pod.Hostname}\n", ["/etc/resolv.conf"] = Resolver(pod.DnsConfig) };
        foreach (var (destination, content) in files)
        {
            files[destination] = Path.Combine(bundle, Path.GetFileName(destination));
            File.WriteAllText(files[destination], content);
        }
        return files;
    }

    /// <summary>resolv.conf(5); without servers of its own a pod has the host's.</summary>
    private static string Resolver(DnsConfig? dns)
    {
        if (dns is null or { Servers.Count: 0, Searches.Count: 0, Options.Count: 0 })
            return File.Exists("/etc/resolv.conf") ? File.ReadAllText("/etc/resolv.conf") : "";
        var lines = dns.Servers.Select(server => $"nameserver {server}\n").ToList();
        if (dns.Searches.Count > 0)
            lines.Insert(0, $"search {string.Join(' ', dns.Searches)}\n");
        if (dns.Options.Count > 0)
            lines.Add($"options {string.Join(' ', dns.Options)}\n");
        return string.Concat(lines);
    }

    private static string From(CreateSandboxRequest request, PodSandboxConfig pod)
    {
        var linux = pod.Linux ?? new LinuxPodSandboxConfig();
        var annotations = Object(request.Annotations);
        void Annotate(string name, long? value)
        {
            if (value > 0)
                annotations[name] = value.Value.ToString(CultureInfo.InvariantCulture);
        }
        Annotate("io.kubernetes.cri.sandbox-memory", linux.Resources?.MemoryLimitInBytes);
        Annotate("io.kubernetes.cri.sandbox-cpu-quota", linux.Resources?.CpuQuota);
        Annotate("io.kubernetes.cri.sandbox-cpu-period", linux.Resources?.CpuPeriod);
        annotations["io.kubernetes.cri.container-type"] = "sandbox";
        annotations["io.kubernetes.cri.sandbox-id"] = request.SandboxId;
        return new JsonObject
        {
            ["ociVersion"] = Cli.Version.Specification,
            ["process"] = new JsonObject
            {
                ["user"] = new JsonObject { ["uid"] = 0, ["gid"] = 0 },
                ["args"] = new JsonArray("/pause"),
                ["cwd"] = "/",
            },
            ["root"] = new JsonObject { ["path"] = Root },
            ["hostname"] = pod.Hostname,
            ["annotations"] = annotations,
            ["linux"] = new JsonObject
            {
                ["namespaces"] = Namespaces(request.NetnsPath),
                ["sysctl"] = Object(linux.Sysctls),
                ["cgroupsPath"] = linux.CgroupParent.Length == 0 ? ""
                    : linux.CgroupParent.EndsWith(".slice", StringComparison.Ordinal) ? $"{Path.GetFileName(linux.CgroupParent)}:cri-containerd:{request.SandboxId}"
                    : $"{linux.CgroupParent}/{request.SandboxId}",
            },
        }.ToJsonString();
    }

    private static JsonArray Namespaces(string network)
    {
        var namespaces = new JsonArray();
        foreach (var type in (string[])["pid", "ipc", "uts", "mount"])
            namespaces.Add((JsonNode)new JsonObject { ["type"] = type });
        var net = new JsonObject { ["type"] = "network" };
        if (network.Length > 0)
            net["path"] = network;
        namespaces.Add((JsonNode)net);
        return namespaces;
    }

    private static JsonObject Object(IEnumerable<KeyValuePair<string, string>> entries)
    {
        var made = new JsonObject();
        foreach (var (name, value) in entries)
            made[name] = value;
        return made;
    }
}
