using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Tests.Containers;

/// <summary>What happens to a container while it runs: exec, signals, freezing, joining, deleting.</summary>
public sealed class ExecTests : IClassFixture<ContainerFixture>, IDisposable
{
    private readonly ContainerFixture _fixture;
    private readonly List<Container> _containers = [];
    private readonly FileDescriptor? _held, _end;

    public ExecTests(ContainerFixture fixture)
    {
        _fixture = fixture;
        (_held, _end) = Files.Pipe();
    }

    /// <summary>A container that runs until it is killed: it reads a pipe that nobody closes.</summary>
    private Container Running(Func<Spec, Spec>? change = null, SandboxNamespaces? sandbox = null)
    {
        Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);
        var spec = ContainerFixture.SpecOf("exec cat");
        var request = _fixture.Request((change ?? (same => same))(spec), stdio: new Stdio { Input = _held }) with { Sandbox = sandbox };
        var container = _fixture.Maker.Create(request);
        _containers.Add(container);
        container.Start(ContainerFixture.Adopt);
        return container;
    }

    private static ProcessSpec ProcessOf(string script, bool terminal = false) =>
        ContainerFixture.SpecOf(script).Process! with { Terminal = terminal };

    private static (string Output, ExitStatus Status) Exec(Container container, ProcessSpec spec)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            ContainerProcess process;
            using (write)
                process = container.Exec(spec, new Stdio { Output = write, Error = write });
            using (process)
                return (ContainerFixture.ReadAll(read), Processes.Wait(process.PidFd));
        }
    }

    [SkippableFact]
    public void ExecIsInsideAndIsSeenByTheReaperAsAChild()
    {
        var container = Running(spec => spec with { Hostname = "target" });
        var (output, status) = Exec(container, ProcessOf("hostname; cat /proc/1/comm; cat /proc/self/cgroup; for n in pid mnt uts ipc net; do [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] && echo same; done; exit 3"));
        Assert.Equal(3, status.Code);
        var lines = output.Split('\n');
        Assert.Equal(["target", "cat"], lines[..2]);
        Assert.Contains(lines, line => line.StartsWith("0::/", StringComparison.Ordinal) && line.EndsWith(container.Id, StringComparison.Ordinal));
        Assert.Equal(5, lines.Count(line => line == "same"));
    }

    [SkippableFact]
    public void ExecHasAUserAndCapabilitiesOfItsOwn()
    {
        var container = Running();
        var (output, _) = Exec(container, ProcessOf("id -u; grep CapEff /proc/self/status; pwd; echo $HOME") with
        {
            User = new User { Uid = 1000 },
            Capabilities = null,
            Cwd = "/tmp",
        });
        Assert.Equal("1000\nCapEff:\t0000000000000000\n/tmp\n/home/user\n", output);
    }

    [SkippableFact]
    public void ExecWithATerminal()
    {
        var container = Running();
        using var process = container.Exec(ProcessOf("tty; stty size", terminal: true), new Stdio { Terminal = true, Columns = 80, Rows = 24 });
        using var master = process.Terminal!;
        Assert.Equal("/dev/pts/0\r\n24 80\r\n", ContainerFixture.ReadAll(master));
        Assert.Equal(0, Processes.Wait(process.PidFd).Code);
    }

    [SkippableFact]
    public void ExecOfWhatIsNotThereIsNamed()
    {
        var container = Running();
        var error = Assert.Throws<ContainerException>(() => container.Exec(ProcessOf("") with { Args = ["nonsense"] }, new Stdio()));
        Assert.Equal("unable to start container process: exec: \"nonsense\": executable file not found in $PATH", error.Message);
        error = Assert.Throws<ContainerException>(() => container.Exec(ProcessOf("") with { Cwd = "/nowhere" }, new Stdio()));
        Assert.Equal("unable to start container process: chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory", error.Message);
    }

    [SkippableFact]
    public void ExecIntoAnEndedContainerIsRefused()
    {
        var container = Running();
        container.KillAll(9);
        Processes.Wait(container.Process.PidFd);
        var error = Assert.Throws<ContainerException>(() => container.Exec(ProcessOf("true"), new Stdio()));
        Assert.Equal("the container's first process has ended", error.Message);
    }

    [SkippableFact]
    public void SignalsReachOneOrAll()
    {
        var container = Running();
        using var added = container.Exec(ProcessOf("exec cat"), new Stdio { Input = _held });
        Assert.Equal(new[] { container.Process.Pid, added.Pid }.Order(), container.ProcessIds().Order());
        Assert.True(added.Signal(15));
        Assert.Equal(new ExitStatus(true, 15), Processes.Wait(added.PidFd));
        container.KillAll(9);
        Assert.Equal(new ExitStatus(true, 9), Processes.Wait(container.Process.PidFd));
    }

    [SkippableFact]
    public void PausedContainerStandsStill()
    {
        var container = Running();
        container.Pause();
        Assert.Contains("frozen 1", File.ReadAllText($"{container.Cgroup.Path}/cgroup.events"));
        container.Resume();
        Assert.Contains("frozen 0", File.ReadAllText($"{container.Cgroup.Path}/cgroup.events"));
        Assert.Equal("alive\n", Exec(container, ProcessOf("echo alive")).Output);
    }

    [SkippableFact]
    public void SecondContainerSharesTheNamespacesThatItNames()
    {
        var first = Running(spec => spec with { Hostname = "shared" });
        Spec Join(Spec spec) => spec with
        {
            Hostname = null,
            Linux = spec.Linux! with
            {
                Namespaces =
                [
                    new Namespace { Type = "mount" },
                    .. new[] { "pid", "network", "ipc", "uts" }.Select(type => new Namespace { Type = type, Path = "/proc/1/ns/x" }),
                ],
            },
        };
        var second = Running(Join, first.Namespaces);
        foreach (var ns in new[] { "pid", "net", "ipc", "uts" })
            Assert.Equal(Link(first, ns), Link(second, ns));
        Assert.NotEqual(Link(first, "mnt"), Link(second, "mnt"));
        // Both see both, and neither is the other's child.
        Assert.Equal("2\n", Exec(second, ProcessOf("grep -l ^cat /proc/[0-9]*/comm | wc -l")).Output);
        Assert.Equal("shared\n", Exec(second, ProcessOf("hostname")).Output);
        Exec(second, ProcessOf("touch /mine"));
        Assert.Equal("none\n", Exec(first, ProcessOf("[ -e /mine ] || echo none")).Output);

        static string? Link(Container container, string ns) => new FileInfo($"/proc/{container.Process.Pid}/ns/{ns}").LinkTarget;
    }

    [SkippableFact]
    public void DeleteEndsWhatStillRunsAndRemovesTheCgroup()
    {
        var container = Running(spec => spec with { Linux = spec.Linux! with { CgroupsPath = $"/a/b/{Guid.NewGuid():N}" } });
        var path = container.Cgroup.Path;
        Directory.CreateDirectory($"{path}/below");
        container.Delete();
        Assert.Equal(new ExitStatus(true, 9), Processes.Wait(container.Process.PidFd));
        Assert.False(Directory.Exists(path));
        Assert.False(Directory.Exists($"{_fixture.Cgroup}/a"));
    }

    [SkippableFact]
    public void ContainersAtOnceDoNotHoldEachOthersStreams()
    {
        Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);
        var rootfs = _fixture.MakeRootfs();
        Parallel.For(0, 16, i => Assert.Equal($"{i}\n", _fixture.Run(ContainerFixture.SpecOf($"echo {i}"), rootfs).Output));
    }

    public void Dispose()
    {
        foreach (var container in _containers)
        {
            container.Delete();
            container.Dispose();
        }
        _held?.Dispose();
        _end?.Dispose();
    }
}
