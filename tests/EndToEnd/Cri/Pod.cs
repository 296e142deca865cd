using System.Text;
using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>A pod of a test, with what kubelet makes for it: a log directory and a cgroup.</summary>
internal sealed class Pod
{
    private readonly CriNode _node;
    private readonly List<string> _containers = [];

    private Pod(CriNode node, string name, PodSandboxConfig config) => (_node, Name, Config) = (node, name, config);

    public string Name { get; }

    public string Id { get; private set; } = "";

    public PodSandboxConfig Config { get; }

    public string LogDirectory => Config.LogDirectory;

    public static async Task<Pod> RunAsync(CriNode node, string handler, Action<PodSandboxConfig>? change = null)
    {
        var name = $"pod-{Guid.NewGuid():N}"[..12];
        var config = new PodSandboxConfig
        {
            Metadata = new PodSandboxMetadata { Name = name, Uid = Guid.NewGuid().ToString(), Namespace = "default" },
            Hostname = name,
            LogDirectory = $"{node.Files}/{name}/log",
            DnsConfig = new DnsConfig { Servers = { "10.96.0.10" }, Searches = { "default.svc.cluster.local" } },
            Linux = new LinuxPodSandboxConfig
            {
                CgroupParent = node.MakePodCgroup(name),
                SecurityContext = new LinuxSandboxSecurityContext
                {
                    NamespaceOptions = new NamespaceOption { Pid = NamespaceMode.Container },
                },
            },
        };
        change?.Invoke(config);
        Directory.CreateDirectory(config.LogDirectory);
        var pod = new Pod(node, name, config);
        pod.Id = await node.Cri.RunPodAsync(config, handler);
        return pod;
    }

    /// <summary>A container that is to run a shell script, with its log in the pod's directory.</summary>
    public ContainerConfig Container(string name, string script, uint attempt = 0) => new()
    {
        Metadata = new ContainerMetadata { Name = name, Attempt = attempt },
        Image = new ImageSpec { Image = CriNode.Image },
        Command = { "sh", "-c", script },
        LogPath = $"{name}.{attempt}.log",
        Linux = new LinuxContainerConfig
        {
            Resources = new LinuxContainerResources(),
            SecurityContext = new LinuxContainerSecurityContext { NamespaceOptions = new NamespaceOption { Pid = Config.Linux.SecurityContext.NamespaceOptions.Pid } },
        },
    };

    public async Task<string> CreateAsync(ContainerConfig config)
    {
        var id = await _node.Cri.CreateContainerAsync(Id, config, Config);
        _containers.Add(id);
        return id;
    }

    public async Task<string> StartAsync(ContainerConfig config)
    {
        var id = await CreateAsync(config);
        await _node.Cri.StartContainerAsync(id);
        return id;
    }

    /// <summary>Its standard output, or that of a command that must succeed.</summary>
    public async Task<string> ExecAsync(string container, string script)
    {
        var answer = await _node.Cri.ExecSyncAsync(container, 0, "sh", "-c", script);
        Assert.True(answer.ExitCode == 0, $"{script}: exit code {answer.ExitCode}: {answer.Stderr.ToStringUtf8()}");
        return Text(answer.Stdout);
    }

    public static string Text(Google.Protobuf.ByteString bytes) => Encoding.UTF8.GetString(bytes.Span).ReplaceLineEndings("\n").Trim();

    /// <summary>What a container has logged: of each line the stream, the tag (F: whole, P: part) and the text.</summary>
    public IReadOnlyList<(string Stream, string Tag, string Text)> LogOf(string file) =>
    [
        .. File.ReadAllLines($"{LogDirectory}/{file}").Select(line =>
        {
            var parts = line.Split(' ', 4);
            Assert.True(DateTimeOffset.TryParse(parts[0], out _), $"no time at the beginning of {line}");
            return (parts[1], parts[2], parts[3]);
        }),
    ];

    public Task<ContainerStatus> UntilStateAsync(string container, ContainerState state) => UntilStateAsync(_node, container, state);

    public static async Task<ContainerStatus> UntilStateAsync(CriNode node, string container, ContainerState state)
    {
        ContainerStatus? status = null;
        await CriNode.Eventually($"{container} is {state}", async () => (status = await node.Cri.ContainerStatusAsync(container)).State == state);
        return status!;
    }

    /// <summary>As kubelet does: the containers first, then the pod.</summary>
    public async Task RemoveAsync()
    {
        await _node.Cri.StopPodAsync(Id);
        foreach (var container in _containers)
            await _node.Cri.RemoveContainerAsync(container);
        await _node.Cri.RemovePodAsync(Id);
        await _node.RemovePodCgroupAsync(Name);
        Directory.Delete($"{_node.Files}/{Name}", recursive: true);
    }
}
