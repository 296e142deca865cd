using System.Diagnostics;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>
/// A node for pods: Debian's containerd with its CRI server, the handlers katalike and runc, a CNI bridge with IPv4 and IPv6
/// addresses. All of it is in namespaces, a directory and a cgroup of its own.
/// </summary>
public sealed class CriNode : IAsyncLifetime
{
    public const string Image = "localhost/busybox:latest";
    public const string KataLike = "katalike", Runc = "runc";

    /// <summary>With the configuration <see cref="PoolConfiguration"/>.</summary>
    public const string KataLikePool = "katalike-pool";

    /// <summary>By containerd's Sandbox API (version 2 and later).</summary>
    public const string KataLikeSandbox = "katalike-sandbox";
    private const string PauseImage = "localhost/pause:latest";
    private const string Bridge = "pods0";
    private const string CniPlugins = "/usr/lib/cni";

    private readonly string _directory = Directory.CreateTempSubdirectory("klcri-").FullName;
    private readonly string _programs;
    private readonly string? _hierarchy =
        new[] { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }.FirstOrDefault(path => File.Exists($"{path}/cgroup.procs"));

    private NodeNamespaces? _namespaces;
    private GrpcConnection? _connection;
    private Process? _process;

    public CriNode()
        : this("")
    {
    }

    /// <param name="programs">A directory with another version of containerd and its shim for runc.</param>
    internal CriNode(string programs) => _programs = programs;

    /// <summary>Why nothing can be tested here; null when it can.</summary>
    public string? Missing { get; } = FindMissing();

    /// <summary>Names everything of this node that has a place in a common hierarchy.</summary>
    public string Name => Path.GetFileName(_directory);

    /// <summary>Below it the pods' logs and volumes may be put.</summary>
    public string Files => $"{_directory}/files";

    public string Log => File.ReadAllText($"{_directory}/log");

    internal NodeNamespaces Namespaces => _namespaces!;

    internal CriClient Cri => new(_connection!);

    /// <summary>A file for a test to write.</summary>
    public string PoolConfiguration => $"{_directory}/pool.toml";

    private string Socket => $"{_directory}/c.sock";

    private string Cgroup => $"{_hierarchy}/{Name}";

    public async Task InitializeAsync()
    {
        if (Missing is not null)
            return;
        _namespaces = await NodeNamespaces.MakeAsync();
        Directory.CreateDirectory(Files);
        Directory.CreateDirectory($"{_directory}/cni");
        await File.WriteAllTextAsync($"{_directory}/config.toml", Configuration());
        await File.WriteAllTextAsync($"{_directory}/cni/10-bridge.conflist", Network());
        if (_hierarchy is not null)
            Directory.CreateDirectory(Cgroup);
        await StartAsync();
        foreach (var image in (string[])["busybox", "pause"])
        {
            var imported = await CtrAsync("image", "import", "--snapshotter", "native", Repository.Path($"out/images/{image}.tar"));
            Assert.True(imported.ExitCode == 0, imported.ToString());
        }
        await Eventually("the pause image is known", async () => await Cri.ImageAsync(PauseImage) is not null);
    }

    public async Task DisposeAsync()
    {
        await StopAsync();
        if (_hierarchy is not null && Directory.Exists(Cgroup))
        {
            // What a failed test left; a passed one has left nothing.
            foreach (var pid in Processes())
                await HostCommand.RunAsync("kill", ["-9", $"{pid}"]);
            await Eventually("the cgroup is empty", () => Task.FromResult(Processes().Count == 0));
        }
        foreach (var cgroup in Cgroups())
            await RemoveTreeAsync(cgroup);
        if (_namespaces is not null)
            await _namespaces.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Returns when the CRI server answers and its network is ready.</summary>
    public async Task StartAsync()
    {
        _connection = new GrpcConnection(Socket);
        var enter = string.Join(' ', _namespaces!.Enter);
        var join = _hierarchy is null ? "" : $"echo $$ > {Cgroup}/cgroup.procs; ";
        _process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", $"{join}exec {enter} containerd -c {_directory}/config.toml >> {_directory}/log 2>&1"])
        {
            Environment = { ["PATH"] = $"{Repository.Path("out/bin")}:{_programs}:{Environment.GetEnvironmentVariable("PATH")}" },
        });
        await Eventually("containerd answers", async () =>
        {
            try
            {
                return (await Cri.StatusAsync()).Status.Conditions.All(condition => condition.Status);
            }
            catch (Exception e) when (e is HttpRequestException or GrpcException)
            {
                return false;
            }
        });
    }

    /// <summary>Ends the daemon; shims and containers go on.</summary>
    public Task StopAsync() => EndAsync("-TERM");

    /// <summary>Ends the daemon without a chance to tidy up.</summary>
    public Task KillAsync() => EndAsync("-KILL");

    /// <summary>The words before a command of ctr.</summary>
    internal string[] Ctr => ["ctr", "--address", Socket, "--namespace", "k8s.io"];

    internal Task<CommandResult> CtrAsync(params string[] arguments) => _namespaces!.RunAsync([.. Ctr, .. arguments]);

    /// <summary>Pids of what the daemon has started, but for itself and runc's containers.</summary>
    public IReadOnlyList<int> Processes() =>
        _hierarchy is null ? [] : [.. ProcessesOf(Cgroup).Where(pid => pid != _process?.Id && !Proc.IsZombie(pid))];

    /// <summary>Pids of the processes whose command line holds these words.</summary>
    public IReadOnlyList<int> Processes(params string[] words) =>
        [.. Processes().Where(pid => Array.TrueForAll(words, word => Proc.CommandLine(pid).Contains(word, StringComparison.Ordinal)))];

    /// <summary>All that pods could leave behind on the node: compared before and after. The first pod's bridge stays, by design of CNI.</summary>
    internal async Task<IReadOnlySet<string>> InventoryAsync()
    {
        var links = (await _namespaces!.RunAsync("ip", "-oneline", "link")).Text.Split('\n').Select(line => line.Split(':')[1].Trim());
        var rules = (await _namespaces.RunAsync("iptables-save", "-t", "nat")).Text.Split('\n').Where(line => line.StartsWith("-A", StringComparison.Ordinal));
        var files = Directory.EnumerateFiles(_namespaces.Path("/run"), "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 })
            .Concat(Directory.EnumerateFiles($"{_directory}/state", "*", SearchOption.AllDirectories));
        return new HashSet<string>(
        [
            .. Processes().Select(pid => $"process {pid} {Proc.CommandLine(pid)}"),
            .. File.ReadLines($"/proc/{_namespaces.Pid}/mounts").Select(line => $"mount {line.Split(' ')[1]}"),
            .. links.Where(name => name != Bridge).Select(name => $"link {name}"),
            .. rules.Select(rule => $"rule {rule}"),
            .. files.Where(path => !path.Contains("/katalike/pool/", StringComparison.Ordinal)).Select(path => $"file {path}"),
            .. Cgroups().SelectMany(cgroup => Directory.EnumerateDirectories(cgroup, "*", SearchOption.AllDirectories)).Select(path => $"cgroup {path}"),
        ]);
    }

    /// <summary>Fails if anything stays that was not there before. Processes may take a moment to end.</summary>
    internal async Task AssertNothingLeftAsync(IReadOnlySet<string> before)
    {
        IReadOnlyList<string> left = [];
        try
        {
            await Eventually("nothing is left", async () => (left = [.. (await InventoryAsync()).Except(before)]).Count == 0);
        }
        catch (TimeoutException)
        {
            Assert.Empty(left);
        }
    }

    /// <summary>Polls; a minute is far beyond anything that is waited for.</summary>
    public static Task Eventually(string what, Func<Task<bool>> condition) => ContainerdDaemon.UntilAsync(what, condition);

    /// <summary>The cgroup of one pod, below this node's, in every hierarchy: kubelet makes it, and removes it.</summary>
    internal string MakePodCgroup(string pod)
    {
        foreach (var hierarchy in Hierarchies())
            Directory.CreateDirectory($"{hierarchy}/{Name}/{pod}");
        return $"/{Name}/{pod}";
    }

    /// <summary>Bytes of anonymous memory and tmpfs that all pods have, and that those before them have not given back; null: nobody counts.</summary>
    internal long? PodMemory()
    {
        var figures = Hierarchies().Select(hierarchy => $"{hierarchy}/{Name}/memory.stat").FirstOrDefault(File.Exists);
        return figures is null ? null : File.ReadLines(figures).Select(line => line.Split(' '))
            .Where(line => line[0] is "total_rss" or "total_shmem" or "anon" or "shmem").Sum(line => long.Parse(line[1]));
    }

    /// <summary>As kubelet: again until nobody is in it any more.</summary>
    internal async Task RemovePodCgroupAsync(string pod)
    {
        foreach (var hierarchy in Hierarchies())
            await Eventually($"the cgroup of {pod} in {hierarchy} is empty", () => Task.FromResult(TryRemove($"{hierarchy}/{Name}/{pod}")));
    }

    private static bool TryRemove(string cgroup)
    {
        try
        {
            Directory.Delete(cgroup);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private async Task EndAsync(string signal)
    {
        if (_process is not { HasExited: false } process)
            return;
        await HostCommand.RunAsync("kill", [signal, $"{process.Id}"]);
        await process.WaitForExitAsync();
        _connection?.Dispose();
    }

    private string Configuration() => $"""
        version = 2
        root = "{_directory}/root"
        state = "{_directory}/state"
        disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
        [grpc]
        address = "{Socket}"
        [plugins."io.containerd.grpc.v1.cri"]
        sandbox_image = "{PauseImage}"
        restrict_oom_score_adj = true
        disable_apparmor = true
        disable_hugetlb_controller = true
        tolerate_missing_hugetlb_controller = true
        stream_server_address = "127.0.0.1"
        netns_mounts_under_state_dir = true
        [plugins."io.containerd.grpc.v1.cri".cni]
        bin_dir = "{CniPlugins}"
        conf_dir = "{_directory}/cni"
        [plugins."io.containerd.grpc.v1.cri".containerd]
        snapshotter = "native"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{KataLike}]
        runtime_type = "io.containerd.katalike.v2"
        privileged_without_host_devices = true
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{KataLikePool}]
        runtime_type = "io.containerd.katalike.v2"
        privileged_without_host_devices = true
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{KataLikePool}.options]
        ConfigPath = "{PoolConfiguration}"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{KataLikeSandbox}]
        runtime_type = "io.containerd.katalike.v2"
        sandboxer = "shim"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{Runc}]
        runtime_type = "io.containerd.runc.v2"
        """;

    private string Network() => $$$"""
        {
          "cniVersion": "1.0.0", "name": "pods",
          "plugins": [
            {
              "type": "bridge", "bridge": "{{{Bridge}}}", "isGateway": true, "ipMasq": true, "hairpinMode": true,
              "ipam": {
                "type": "host-local", "dataDir": "{{{_directory}}}/ipam", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                "ranges": [[{"subnet": "10.89.0.0/16"}], [{"subnet": "fd89::/64"}]]
              }
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
            {"type": "bandwidth", "capabilities": {"bandwidth": true}}
          ]
        }
        """;

    private static IEnumerable<int> ProcessesOf(string cgroup)
    {
        if (!Directory.Exists(cgroup))
            return [];
        return Directory.EnumerateDirectories(cgroup, "*", SearchOption.AllDirectories).Prepend(cgroup)
            .SelectMany(directory => File.ReadAllLines($"{directory}/cgroup.procs")).Select(int.Parse);
    }

    private IEnumerable<string> Cgroups() => Hierarchies().Select(hierarchy => $"{hierarchy}/{Name}").Where(Directory.Exists);

    private static IEnumerable<string> Hierarchies() =>
        Directory.EnumerateDirectories("/sys/fs/cgroup").Append("/sys/fs/cgroup").Where(path => File.Exists($"{path}/cgroup.procs"));

    private static async Task RemoveTreeAsync(string cgroup)
    {
        foreach (var child in Directory.GetDirectories(cgroup))
            await RemoveTreeAsync(child);
        await Eventually($"{cgroup} is empty", () => Task.FromResult(TryRemove(cgroup)));
    }

    private static string? FindMissing()
    {
        if (!Environment.IsPrivilegedProcess)
            return "needs root";
        foreach (var program in (string[])["containerd", "ctr", "unshare", "nsenter", "ip", "iptables-save", "runc"])
        {
            if (!$"{Environment.GetEnvironmentVariable("PATH")}:/usr/sbin".Split(':').Any(directory => File.Exists($"{directory}/{program}")))
                return $"{program} is not installed";
        }
        if (!File.Exists($"{CniPlugins}/bridge"))
            return "containernetworking-plugins is not installed";
        return ((string[])["out/bin/containerd-shim-katalike-v2", "out/images/pause.tar", "out/share/katalike/initrd"])
            .Select(Repository.Path).FirstOrDefault(path => !File.Exists(path)) is { } file ? $"{file} is not built: run ./dev build" : null;
    }
}
