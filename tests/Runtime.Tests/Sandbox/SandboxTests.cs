using System.Text;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Storage;
using Sandbox = KataLike.Runtime.Sandboxes.Sandbox;

namespace KataLike.Runtime.Tests.Sandboxes;

/// <summary>Real machines. Kernel and initrd: KATALIKE_KERNEL and KATALIKE_INITRD, else what ./dev build has put under out/.</summary>
public sealed class SandboxTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-sandbox-").FullName;
    private readonly List<string> _log = [];

    private StateRoot Root => new($"{_directory}/state");

    [SkippableFact]
    public async Task AContainerRunsAndItsOutputAndExitStatusArrive()
    {
        await using var sandbox = Begin("s1", "echo hello; cat; exit 7");
        var (stdin, ours) = Files.Pipe();
        var (read, stdout) = Files.Pipe();
        var container = await sandbox.CreateAsync(Request("c1", stdin, stdout), CancellationToken.None);
        Assert.Equal(ContainerStatus.Created, container.Status);
        Assert.NotEqual(Environment.OSVersion.Version.ToString(), sandbox.GuestKernel);
        await container.StartAsync(CancellationToken.None);
        Assert.Equal(ContainerStatus.Running, container.Status);

        using (ours)
            Files.Write(ours, "from stdin\n"u8);
        Assert.Equal("hello\nfrom stdin\n", await ReadAllAsync(read));
        var exit = await container.Init.Exited;
        Assert.Equal((7u, false), (exit.Status, exit.OutOfMemory));
        Assert.Equal(ContainerStatus.Stopped, container.Status);

        await container.DeleteAsync();
        Assert.Empty(sandbox.Containers);
        await sandbox.ShutdownAsync();
        AssertNothingIsLeft();
    }

    [SkippableFact]
    public async Task AnExecRunsBesideTheFirstProcess()
    {
        await using var sandbox = Begin("s1", "sleep 1000");
        var container = await sandbox.CreateAsync(Request("c1", null, null), CancellationToken.None);
        await container.StartAsync(CancellationToken.None);

        var (read, stdout) = Files.Pipe();
        var exec = container.AddExec(
            "e1", """{"cwd":"/","args":["/bin/busybox","sh","-c","grep -o 1000 /proc/1/cmdline; exit 3"]}"""u8.ToArray(),
            new ProcessStreams(false, null, stdout, null));
        await exec.StartAsync(CancellationToken.None);
        Assert.Equal("1000\n", await ReadAllAsync(read));
        Assert.Equal(3u, (await exec.Exited).Status);
        await exec.DeleteAsync();

        await container.Init.SignalAsync(9, all: false);
        Assert.Equal(137u, (await container.Init.Exited).Status);
    }

    [SkippableFact]
    public async Task WhenQemuDiesEveryProcessHasEndedAndNothingIsLeft()
    {
        await using var sandbox = Begin("s1", "sleep 1000");
        var container = await sandbox.CreateAsync(Request("c1", null, null), CancellationToken.None);
        await container.StartAsync(CancellationToken.None);

        Assert.True(Processes.Kill(sandbox.HostPid, 9));
        Assert.Equal("qemu was killed by signal 9", await sandbox.Died.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(137u, (await container.Init.Exited).Status);
        await container.DeleteAsync();
        await sandbox.ShutdownAsync();
        AssertNothingIsLeft();
    }

    [SkippableFact]
    public async Task ABundleThatIsNotOneFailsBeforeTheMachineIsUp()
    {
        await using var sandbox = Begin("s1", "true");
        var error = await Assert.ThrowsAsync<RuntimeException>(
            () => sandbox.CreateAsync(Request("c1", null, null) with { Bundle = "/nonexistent" }, CancellationToken.None));
        Assert.Equal("JSON specification file /nonexistent/config.json not found", error.Message);
        Assert.Empty(sandbox.Containers);
    }

    [SkippableFact]
    public async Task AKernelThatDoesNotBootIsReportedWithWhatItSaid()
    {
        await using var sandbox = Begin("s1", "true", configuration => configuration with { KernelParameters = ["rdinit=/nonexistent"] });
        var error = await Assert.ThrowsAsync<VmException>(() => sandbox.Ready);
        Assert.Contains("console: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("panic", error.Message, StringComparison.OrdinalIgnoreCase);
        await sandbox.Died;
        await sandbox.ShutdownAsync();
        AssertNothingIsLeft();
    }

    private Sandbox Begin(string id, string script, Func<Configuration, Configuration>? change = null)
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes mount namespaces");
        var configuration = new Configuration { Kernel = Built("KATALIKE_KERNEL", "vmlinux"), Initrd = Built("KATALIKE_INITRD", "initrd") };
        Skip.IfNot(File.Exists("/bin/busybox"), "needs /bin/busybox: install busybox-static");
        Skip.IfNot(File.Exists("/usr/bin/qemu-system-x86_64"), "needs qemu-system-x86");
        WriteBundle(script);
        return Sandbox.Begin(new SandboxOptions(
            id, Root, change?.Invoke(configuration) ?? configuration, $"{_directory}/bundle", line => { lock (_log) _log.Add(line); }));
    }

    private static string Built(string variable, string name)
    {
        var path = Environment.GetEnvironmentVariable(variable);
        for (var at = AppContext.BaseDirectory; path is null && at is not null; at = Path.GetDirectoryName(at))
            if (File.Exists($"{at}/out/share/katalike/{name}"))
                path = $"{at}/out/share/katalike/{name}";
        Skip.If(path is null, $"needs the guest's {name}: run ./dev build, or set {variable}");
        return path!;
    }

    private void WriteBundle(string script)
    {
        Directory.CreateDirectory($"{_directory}/bundle/rootfs/bin");
        File.Copy("/bin/busybox", $"{_directory}/bundle/rootfs/bin/busybox");
        foreach (var tool in (string[])["sh", "cat", "sleep", "echo"])
            File.CreateSymbolicLink($"{_directory}/bundle/rootfs/bin/{tool}", "busybox");
        var spec = Spec.Default();
        spec = spec with
        {
            Process = spec.Process! with { Terminal = false, Args = ["/bin/sh", "-c", script] },
            Root = new Root { Path = "rootfs" },
        };
        File.WriteAllText($"{_directory}/bundle/config.json", spec.ToJson());
    }

    private ContainerRequest Request(string id, FileDescriptor? stdin, FileDescriptor? stdout) =>
        new(id, $"{_directory}/bundle", [], new ProcessStreams(false, stdin, stdout, null));

    private static Task<string> ReadAllAsync(FileDescriptor pipe) => Task.Run(() =>
    {
        using (pipe)
        {
            using var text = new MemoryStream();
            Span<byte> buffer = stackalloc byte[4096];
            while (Files.Read(pipe, buffer) is > 0 and var count)
                text.Write(buffer[..count]);
            return Encoding.UTF8.GetString(text.ToArray());
        }
    });

    private void AssertNothingIsLeft()
    {
        Assert.DoesNotContain(_directory, File.ReadAllText("/proc/self/mountinfo"), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Root.SandboxesDirectory));
        foreach (var process in Directory.EnumerateDirectories("/proc").Where(name => char.IsAsciiDigit(Path.GetFileName(name)[0])))
        {
            string arguments;
            try
            {
                arguments = File.ReadAllText($"{process}/cmdline");
            }
            catch (IOException)
            {
                continue;
            }
            Assert.DoesNotContain(_directory, arguments, StringComparison.Ordinal);
        }
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
