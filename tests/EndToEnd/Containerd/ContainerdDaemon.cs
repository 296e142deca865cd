using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;

namespace KataLike.EndToEnd.Tests.Containerd;

/// <summary>
/// A containerd of the tests' own: private root, state, socket, namespace and cgroup. Everything that it starts stays in that
/// cgroup, so that a process left behind is found whatever it is called and whoever its parent is.
/// </summary>
public sealed class ContainerdDaemon : IAsyncLifetime
{
    public const string Image = "localhost/busybox:latest";

    private static readonly string[] Plugins =
    [
        "grpc.v1.cri", "internal.v1.opt", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper", "snapshotter.v1.zfs",
    ];

    private readonly string _directory = Directory.CreateTempSubdirectory("klc-").FullName;
    private readonly string? _cgroup;
    private Process? _process;

    public ContainerdDaemon()
    {
        var hierarchy = new[] { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }.FirstOrDefault(path => File.Exists($"{path}/cgroup.procs"));
        _cgroup = hierarchy is null ? null : $"{hierarchy}/{Path.GetFileName(_directory)}";
    }

    /// <summary>Why nothing can be tested here; null when it can.</summary>
    public string? Missing { get; } = FindMissing();

    public string Namespace => Path.GetFileName(_directory);

    private string Socket => $"{_directory}/c.sock";

    public string Log => File.ReadAllText($"{_directory}/log");

    public async Task InitializeAsync()
    {
        if (Missing is not null)
            return;
        await File.WriteAllTextAsync($"{_directory}/config.toml", $"""
            version = 2
            root = "{_directory}/root"
            state = "{_directory}/state"
            disabled_plugins = [{string.Join(", ", Plugins.Select(name => $"\"io.containerd.{name}\""))}]
            [grpc]
            address = "{Socket}"
            """);
        if (_cgroup is not null)
            Directory.CreateDirectory(_cgroup);
        Start();
        await UntilAsync("containerd answers", async () => (await CtrAsync("version")).ExitCode == 0);
        var imported = await CtrAsync("image", "import", "--snapshotter", "native", Repository.Path("out/images/busybox.tar"));
        Assert.True(imported.ExitCode == 0, imported.ToString());
    }

    public async Task DisposeAsync()
    {
        await StopAsync();
        if (_cgroup is not null && Directory.Exists(_cgroup))
        {
            // What a failed test left; a passed one has left nothing.
            foreach (var pid in Processes())
                await HostCommand.RunAsync("kill", ["-9", $"{pid}"]);
            await UntilAsync("the cgroup is gone", () => Task.FromResult(TryRemove(_cgroup)));
        }
        foreach (var mount in Mounts().Reverse())
            await HostCommand.RunAsync("umount", ["-l", mount]);
        // Empty places named after the namespace: our shims', and those that runc makes in each hierarchy.
        foreach (var place in (string[])[$"/run/katalike/shim/{Namespace}", $"/run/containerd/runc/{Namespace}"])
        {
            if (Directory.Exists(place))
                Directory.Delete(place, recursive: true);
        }
        foreach (var cgroup in Directory.EnumerateDirectories("/sys/fs/cgroup").Prepend("/sys/fs/cgroup").Select(hierarchy => $"{hierarchy}/{Namespace}"))
        {
            if (Directory.Exists(cgroup))
                TryRemove(cgroup);
        }
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Ends the daemon; shims and containers go on.</summary>
    public async Task StopAsync()
    {
        if (_process is not { HasExited: false } process)
            return;
        await HostCommand.RunAsync("kill", [$"{process.Id}"]);
        await process.WaitForExitAsync();
    }

    public void Start() => _process = Process.Start(new ProcessStartInfo("/bin/sh",
        ["-c", $"{(_cgroup is null ? "" : $"echo $$ > {_cgroup}/cgroup.procs; ")}exec containerd -c {_directory}/config.toml >> {_directory}/log 2>&1"])
    {
        Environment = { ["PATH"] = $"{Repository.Path("out/bin")}:{Environment.GetEnvironmentVariable("PATH")}" },
    });

    internal Task<CommandResult> CtrAsync(params string[] arguments) => CtrAsync(null, arguments);

    internal Task<CommandResult> CtrAsync(byte[]? input, params string[] arguments) =>
        HostCommand.RunAsync("ctr", ["--address", Socket, "--namespace", Namespace, .. arguments], input);

    /// <summary>ctr with a terminal, which script(1) makes.</summary>
    internal Task<CommandResult> CtrOnTerminalAsync(params string[] arguments)
    {
        var quoted = string.Join(' ', arguments.Select(argument => $"'{argument}'"));
        return HostCommand.RunAsync("script", ["-qec", $"ctr --address {Socket} --namespace {Namespace} {quoted}", "/dev/null"]);
    }

    /// <summary>ctr run of the image, with options before the image and the command after the id.</summary>
    internal Task<CommandResult> RunAsync(string runtime, string id, string[] options, string[] command, byte[]? input = null) =>
        CtrAsync(input, ["run", "--snapshotter", "native", .. Runtime(runtime), .. options, Image, id, .. command]);

    /// <summary>Our command line under containerd's shim for runc, as its BinaryName.</summary>
    public const string RuncShim = "io.containerd.runc.v2 with katalike";

    internal static string[] Runtime(string name) => name == RuncShim
        ? ["--runtime", "io.containerd.runc.v2", "--runc-binary", Repository.Path("out/bin/katalike")]
        : ["--runtime", name];

    /// <summary>All that is left of the containers with these ids: processes, mounts, sockets and directories.</summary>
    public IReadOnlyList<string> Leftovers(params string[] ids)
    {
        var daemon = _process?.Id;
        return
        [
            .. Processes().Where(pid => pid != daemon).Select(Describe),
            .. Mounts(),
            .. ids.Select(ShimSocket).Where(File.Exists),
            .. Entries($"/run/katalike/shim/{Namespace}/sandboxes"),
            .. Entries($"/run/containerd/runc/{Namespace}/sandboxes"),
            .. Entries($"/run/containerd/runc/{Namespace}/containers"),
            .. Entries($"{_directory}/state/io.containerd.runtime.v2.task/{Namespace}"),
        ];
    }

    /// <summary>Pids of what the daemon has started and is not a container of runc.</summary>
    public IReadOnlyList<int> Processes() =>
        _cgroup is null ? [] : [.. File.ReadAllLines($"{_cgroup}/cgroup.procs").Select(int.Parse).Where(pid => !IsZombie(pid))];

    /// <summary>Pids of the processes whose command line holds these words.</summary>
    public IReadOnlyList<int> Processes(params string[] words) =>
        [.. Processes().Where(pid => Array.TrueForAll(words, word => Describe(pid).Contains(word, StringComparison.Ordinal)))];

    /// <summary>Polls, without a limit of its own but the patience of a minute.</summary>
    public static async Task UntilAsync(string what, Func<Task<bool>> condition)
    {
        for (var started = Stopwatch.StartNew(); !await condition();)
        {
            if (started.Elapsed > TimeSpan.FromMinutes(1))
                throw new TimeoutException($"not within a minute: {what}");
            await Task.Delay(50);
        }
    }

    private string ShimSocket(string id) =>
        $"/run/containerd/s/{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{Socket}/{Namespace}/{id}")))}";

    /// <summary>False while processes are still ending in it.</summary>
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

    private IEnumerable<string> Mounts() =>
        File.ReadLines("/proc/self/mounts").Select(line => line.Split(' ')[1]).Where(mount => mount.Contains(Namespace, StringComparison.Ordinal));

    private static string[] Entries(string directory) => Directory.Exists(directory) ? Directory.GetFileSystemEntries(directory) : [];

    private static string Describe(int pid)
    {
        try
        {
            return $"{pid}: {File.ReadAllText($"/proc/{pid}/cmdline").Replace('\0', ' ')}";
        }
        catch (IOException)
        {
            return $"{pid}: gone";
        }
    }

    private static bool IsZombie(int pid)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{pid}/stat");
            return stat[(stat.LastIndexOf(')') + 2)] is 'Z' or 'X';
        }
        catch (IOException)
        {
            return true;
        }
    }

    private static string? FindMissing()
    {
        if (!Environment.IsPrivilegedProcess)
            return "needs root";
        foreach (var program in (string[])["containerd", "ctr", "script"])
        {
            if (!Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(directory => File.Exists($"{directory}/{program}")))
                return $"{program} is not installed";
        }
        return ((string[])["out/bin/containerd-shim-katalike-v2", "out/images/busybox.tar", "out/share/katalike/initrd"])
            .Select(Repository.Path).FirstOrDefault(path => !File.Exists(path)) is { } file ? $"{file} is not built: run ./dev build" : null;
    }
}

/// <summary>The working tree that the tests belong to.</summary>
internal static class Repository
{
    private static readonly string Root = Find();

    public static string Path(string relative) => System.IO.Path.Combine(Root, relative);

    private static string Find()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists($"{directory.FullName}/KataLike.sln"))
            directory = directory.Parent;
        return directory?.FullName ?? throw new DirectoryNotFoundException("KataLike.sln is not above the tests");
    }
}
