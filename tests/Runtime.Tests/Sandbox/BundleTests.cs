using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public sealed class BundleTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-bundle-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("{}", null, false)]
    [InlineData("null", null, false)]
    [InlineData("""{"io.kubernetes.cri.sandbox-id": "pod", "io.kubernetes.cri.container-type": "sandbox"}""", "pod", false)]
    [InlineData("""{"io.kubernetes.cri-o.SandboxID": "crio", "io.kubernetes.cri-o.ContainerType": "container"}""", "crio", true)]
    [InlineData("""{"io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "group"}""", "group", false)]
    [InlineData("""{"io.containerd.runc.v2.group": "", "io.kubernetes.cri.sandbox-id": "pod"}""", "pod", false)]
    public void The_annotations_name_the_sandbox(string annotations, string? group, bool needsSandbox)
    {
        Write("""{"annotations": GIVEN, "linux": {"namespaces": [{"type": "network"}]}}""".Replace("GIVEN", annotations, StringComparison.Ordinal));
        var bundle = Bundle.Load(_directory);
        Assert.Equal((group, needsSandbox, $"{_directory}/rootfs"), (bundle.Group, bundle.NeedsSandbox, bundle.Rootfs));
    }

    [Theory]
    [InlineData("""{"type": "network", "path": "/proc/17/ns/net"}""", "pod", true)]
    [InlineData("""{"type": "network"}, {"type": "uts", "path": "/proc/17/ns/uts"}""", "pod", true)]
    [InlineData("""{"type": "network", "path": "/run/netns/its-own"}, {"type": "uts"}""", null, false)]
    public void Podmans_containers_that_share_nothing_stand_alone(string namespaces, string? group, bool needsSandbox)
    {
        const string annotations = """{"io.container.manager": "libpod", "io.kubernetes.cri-o.SandboxID": "pod", "io.kubernetes.cri-o.ContainerType": "container"}""";
        Write("""{"annotations": GIVEN, "linux": {"namespaces": [SPACES]}}""".Replace("GIVEN", annotations, StringComparison.Ordinal).Replace("SPACES", namespaces, StringComparison.Ordinal));
        var bundle = Bundle.Load(_directory);
        Assert.Equal((group, needsSandbox), (bundle.Group, bundle.NeedsSandbox));
    }

    [Fact]
    public void What_is_missing_is_named_by_its_path()
    {
        Assert.Equal($"chdir {_directory}/no: no such file or directory", Refusal($"{_directory}/no"));
        Assert.Equal($"JSON specification file {_directory}/config.json not found", Refusal(_directory));
        File.WriteAllText($"{_directory}/config.json", "[");
        Assert.StartsWith($"{_directory}/config.json: $: ", Refusal(_directory), StringComparison.Ordinal);
        Write("""{"linux": {"namespaces": [{"type": "network"}]}}""");
        Assert.Equal($"invalid rootfs: stat {_directory}/rootfs: no such file or directory", Refusal(_directory));
        File.WriteAllText($"{_directory}/rootfs", "");
        Assert.Equal($"invalid rootfs: stat {_directory}/rootfs: not a directory", Refusal(_directory));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"linux": {"namespaces": [{"type": "pid"}]}}""")]
    public void The_hosts_network_is_refused(string spec)
    {
        Write(spec);
        Assert.Contains("$.linux.namespaces: the host's network cannot be shared", Refusal(_directory), StringComparison.Ordinal);
    }

    private static string Refusal(string directory) => Assert.Throws<RuntimeException>(() => Bundle.Open(directory)).Message;

    /// <param name="part">An object with the fields beside those that must be there.</param>
    private void Write(string part)
    {
        var spec = System.Text.Json.Nodes.JsonNode.Parse(part)!.AsObject();
        spec["ociVersion"] = "1.3.0";
        spec["process"] = System.Text.Json.Nodes.JsonNode.Parse("""{"cwd": "/", "args": ["true"]}""");
        spec["root"] = System.Text.Json.Nodes.JsonNode.Parse("""{"path": "rootfs"}""");
        File.WriteAllText($"{_directory}/config.json", spec.ToJsonString());
    }
}
