using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;
using Namespace = KataLike.Contract.Oci.Namespace;

namespace KataLike.Agent.Tests.Containers;

/// <summary>User and time namespaces, hooks and scheduling, seen from inside; on this machine's kernel.</summary>
public sealed class IsolationTests(ContainerFixture fixture) : IClassFixture<ContainerFixture>
{
    private static void NeedsHost() => Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);

    private static Spec With(Spec spec, params Namespace[] namespaces) =>
        spec with { Linux = spec.Linux! with { Namespaces = [.. spec.Linux.Namespaces!, .. namespaces] } };

    private static Spec Mapped(Spec spec, uint first = 100_000)
    {
        spec = With(spec, new Namespace { Type = "user" }, new Namespace { Type = "cgroup" });
        return spec with
        {
            Linux = spec.Linux! with
            {
                UidMappings = [new IdMapping { ContainerId = 0, HostId = first, Size = 1000 }, new IdMapping { ContainerId = 1000, HostId = first + 5000, Size = 1 }],
                GidMappings = [new IdMapping { ContainerId = 0, HostId = first, Size = 2000 }],
            },
        };
    }

    private static ProcessSpec Everything(ProcessSpec process) => process with
    {
        Capabilities = new Capabilities { Bounding = All, Effective = All, Permitted = All },
    };

    private static IReadOnlyList<string> All { get; } =
        ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_TIME"];

    [SkippableFact]
    public void UserNamespaceMapsSeveralRanges()
    {
        NeedsHost();
        var spec = Mapped(ContainerFixture.SpecOf(
            "cat /proc/self/uid_map; id -u; touch /tmp/mine; chmod 600 /dev/null; stat -c '%u:%g %n' /tmp/mine /dev /dev/null /dev/pts /proc/self/status; echo x >/dev/null && echo written; mknod /tmp/node c 1 3"));
        var rootfs = fixture.MakeRootfs(root => File.SetUnixFileMode($"{root}/tmp", (UnixFileMode)0x3ff));
        var (output, _) = fixture.Run(spec with { Process = Everything(spec.Process!) }, rootfs);
        Assert.Equal(
            [
                "0 100000 1000", "1000 105000 1", "0", "0:0 /tmp/mine", "0:0 /dev", "0:0 /dev/null", "0:0 /dev/pts", "0:0 /proc/self/status",
                "written", "mknod: /tmp/node: Operation not permitted", "",
            ],
            output.Split('\n').Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))));
    }

    [SkippableFact]
    public void ExecAndTerminalAreInTheUserNamespaceToo()
    {
        NeedsHost();
        using var fifo = new Held();
        var spec = Mapped(ContainerFixture.SpecOf("exec cat"));
        var rootfs = fixture.MakeRootfs();
        var container = fixture.Maker.Create(fixture.Request(spec, rootfs, new Stdio { Input = fifo.Read }));
        try
        {
            container.Start(ContainerFixture.Adopt);
            var process = ContainerFixture.SpecOf("id; cat /proc/self/gid_map; tty; stat -c '%u %t' $(tty); ulimit -n").Process! with
            {
                Terminal = true,
                User = new User { Uid = 1000, Gid = 1, AdditionalGids = [7, 1999] },
                Rlimits = [new Rlimit { Type = "RLIMIT_NOFILE", Soft = 333, Hard = 400 }],
            };
            using var added = container.Exec(process, new Stdio { Terminal = true });
            using var master = added.Terminal!;
            var lines = ContainerFixture.ReadAll(master).Split("\r\n");
            Assert.Equal("uid=1000(user) gid=1 groups=7,1999", lines[0]);
            Assert.Equal(["/dev/pts/0", "1000 88", "333", ""], lines[2..]);
            Processes.Wait(added.PidFd);
            var error = Assert.Throws<ContainerException>(() => container.Exec(process with { User = new User { Uid = 1500 } }, new Stdio()));
            Assert.Equal("unable to start container process: process.user: the user namespace has no id for one of 1500, 0", error.Message);
        }
        finally
        {
            container.Delete();
            container.Dispose();
        }
    }

    [SkippableFact]
    public void ContainersOfASandboxShareAUserNamespaceOrHaveEachTheirOwn()
    {
        NeedsHost();
        using var fifo = new Held();
        using var first = Started(Mapped(ContainerFixture.SpecOf("exec cat"), 200_000), fifo);
        try
        {
            Namespace[] shared = [.. new[] { "user", "network", "ipc", "uts" }.Select(type => new Namespace { Type = type, Path = "/proc/9/ns/x" })];
            var spec = ContainerFixture.SpecOf("cat /proc/self/uid_map; hostname; echo $$; stat -c %u /proc/self/status; readlink /proc/self/ns/user");
            spec = spec with { Hostname = null, Linux = spec.Linux! with { Namespaces = [.. shared, new Namespace { Type = "pid" }, new Namespace { Type = "mount" }] } };
            var lines = fixture.Run(fixture.Request(spec) with { Sandbox = first.Namespaces }).Output.Split('\n');
            Assert.Equal("0 200000 1000", string.Join(' ', lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries)));
            Assert.Equal(["runc", "1", "0", Link(first.Process.Pid)], lines[2..6]);

            // A user namespace of its own, and the sandbox's network.
            var own = Mapped(ContainerFixture.SpecOf("cat /proc/self/uid_map; readlink /proc/self/ns/net; echo $$; ls /proc/1/comm"), 300_000);
            own = own with { Linux = own.Linux! with { Namespaces = [.. own.Linux.Namespaces!.Where(entry => entry.Type != "network"), new Namespace { Type = "network", Path = "/x" }] } };
            lines = fixture.Run(fixture.Request(own) with { Sandbox = first.Namespaces }).Output.Split('\n');
            Assert.StartsWith("0 300000", string.Join(' ', lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries)));
            Assert.Equal([new FileInfo($"/proc/{first.Process.Pid}/ns/net").LinkTarget!, "1", "/proc/1/comm"], lines[2..5]);

            // The first one's pid namespace belongs to its user namespace.
            var pids = spec with { Linux = spec.Linux! with { Namespaces = [.. shared, new Namespace { Type = "pid", Path = "/x" }] } };
            pids = pids with { Process = pids.Process! with { Args = ["/bin/sh", "-c", "cat /proc/1/comm; [ $$ = 1 ] || echo other"] } };
            Assert.Equal("cat\nother\n", fixture.Run(fixture.Request(pids) with { Sandbox = first.Namespaces }).Output);
        }
        finally
        {
            first.Delete();
        }

        static string Link(int pid) => new FileInfo($"/proc/{pid}/ns/user").LinkTarget!;
    }

    private Container Started(Spec spec, Held held)
    {
        var container = fixture.Maker.Create(fixture.Request(spec, stdio: new Stdio { Input = held.Read }));
        container.Start(ContainerFixture.Adopt);
        return container;
    }

    /// <summary>An input that does not end.</summary>
    private sealed class Held : IDisposable
    {
        private readonly FileDescriptor _write;

        public Held() => (Read, _write) = Files.Pipe();

        public FileDescriptor Read { get; }

        public void Dispose()
        {
            Read.Dispose();
            _write.Dispose();
        }
    }

    [SkippableFact]
    public void TimeNamespaceHasItsOffsets()
    {
        NeedsHost();
        using var fifo = new Held();
        var spec = With(ContainerFixture.SpecOf("cat /proc/uptime; exec cat"), new Namespace { Type = "time" });
        spec = spec with
        {
            Linux = spec.Linux! with
            {
                TimeOffsets = new Dictionary<string, TimeOffset> { ["boottime"] = new() { Secs = 1_000_000_000 }, ["monotonic"] = new() { Secs = 5, Nanosecs = 7 } },
            },
        };
        using var container = Started(spec, fifo);
        try
        {
            var (read, write) = Files.Pipe();
            using (read)
            {
                using (write)
                    container.Exec(ContainerFixture.SpecOf("cat /proc/self/timens_offsets /proc/uptime").Process!, new Stdio { Output = write }).Dispose();
                var text = ContainerFixture.ReadAll(read).Split('\n');
                Assert.Equal(["monotonic 5 7", "boottime 1000000000 0"], text[..2].Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))));
                Assert.StartsWith("1000", text[2]);
            }
        }
        finally
        {
            container.Delete();
        }
        var far = spec with { Linux = spec.Linux! with { TimeOffsets = new Dictionary<string, TimeOffset> { ["boottime"] = new() { Secs = long.MaxValue } } } };
        Assert.StartsWith("linux.timeOffsets: boottime 9223372036854775807 0: ", Assert.Throws<ContainerException>(() => fixture.Run(far)).Message);
    }

    [SkippableFact]
    public void SchedulingPersonalityAndLimitsAreThoseOfTheDocument()
    {
        NeedsHost();
        var spec = ContainerFixture.SpecOf("cut -d' ' -f19,41 /proc/self/stat; busybox uname -m; ionice; ulimit -n");
        spec = spec with
        {
            Process = spec.Process! with
            {
                Scheduler = new Scheduler { Policy = "SCHED_BATCH", Nice = 7 },
                IoPriority = new IoPriority { Class = "IOPRIO_CLASS_BE", Priority = 2 },
                Rlimits = [new Rlimit { Type = "RLIMIT_NOFILE", Soft = 333, Hard = 400 }],
            },
            Linux = spec.Linux! with { Personality = new Personality { Domain = "LINUX32" } },
        };
        var rootfs = fixture.MakeRootfs(root =>
        {
            foreach (var applet in new[] { "cut", "ionice" })
                File.CreateSymbolicLink($"{root}/bin/{applet}", "busybox");
        });
        Assert.Equal("7 3\ni686\nbest-effort: prio 2\n333\n", fixture.Run(spec, rootfs).Output);
        var mapped = Mapped(spec);
        Assert.Equal("7 3\ni686\nbest-effort: prio 2\n333\n", fixture.Run(mapped, rootfs).Output);
    }

    [SkippableFact]
    public void ExecRunsOnTheProcessorsItIsGiven()
    {
        NeedsHost();
        using var fifo = new Held();
        using var container = Started(ContainerFixture.SpecOf("exec cat"), fifo);
        try
        {
            var process = ContainerFixture.SpecOf("grep Cpus_allowed_list /proc/self/status").Process!;
            var (output, end) = Files.Pipe();
            using (output)
            {
                using (end)
                    container.Exec(process with { ExecCpuAffinity = new ExecCpuAffinity { Initial = "0-1", Final = "1" } }, new Stdio { Output = end }).Dispose();
                Assert.Equal("Cpus_allowed_list:\t1\n", ContainerFixture.ReadAll(output));
            }
            var none = Assert.Throws<ContainerException>(() => container.Exec(process with { ExecCpuAffinity = new ExecCpuAffinity { Final = "8000" } }, new Stdio()));
            Assert.EndsWith("process.execCPUAffinity.final: the container has none of these processors: 8000", none.Message, StringComparison.Ordinal);
        }
        finally
        {
            container.Delete();
        }
    }

    private static Spec Hooked(Spec spec, IReadOnlyList<Hook>? create = null, IReadOnlyList<Hook>? start = null) =>
        spec with { Hooks = new Hooks { CreateContainer = create, StartContainer = start }, Annotations = new Dictionary<string, string> { ["a"] = "b" } };

    private static Hook Script(string script, int? timeout = null) => new() { Path = "/bin/sh", Args = ["sh", "-c", script], Env = ["PATH=/bin", "WHO=me"], Timeout = timeout };

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void HooksRunInTheContainerBeforeItsProcess(bool mapped)
    {
        NeedsHost();
        var rootfs = fixture.MakeRootfs(root => File.SetUnixFileMode($"{root}/tmp", (UnixFileMode)0x3ff));
        var spec = ContainerFixture.SpecOf("cat /tmp/*");
        spec = spec with { Process = spec.Process! with { User = new User { Uid = 1000, Gid = 1000 } } };
        spec = Hooked(
            mapped ? Mapped(spec) : spec,
            [Script("cat >/tmp/1; echo >>/tmp/1; id -u >/tmp/2; echo $WHO $0 $HOME $$ >/tmp/3; hostname >/tmp/4"), Script("ls /proc/1 >/dev/null && echo second >/tmp/5; chmod 644 /tmp/*")],
            [Script("cat >/tmp/6; echo >>/tmp/6; id -u >/tmp/7")]);
        var (output, status) = fixture.Run(spec, rootfs);
        Assert.Equal(0, status.Code);
        var lines = output.Split('\n');
        Assert.Matches("""^{"ociVersion":"1[^"]*","id":"c[0-9a-f]+","pid":1,"status":"creating","bundle":"/the/bundle","annotations":{"a":"b"}}$""", lines[0]);
        Assert.Equal("0", lines[1]);
        Assert.Matches("^me sh [0-9]+$", lines[2]);
        Assert.Equal(["runc", "second"], lines[3..5]);
        Assert.Contains("\"pid\":1,\"status\":\"created\"", lines[5], StringComparison.Ordinal);
        Assert.Equal("1000", lines[6]);
    }

    [SkippableFact]
    public void HookThatFailsEndsTheContainerAndIsNamed()
    {
        NeedsHost();
        var before = Directory.GetDirectories(fixture.Cgroup);
        Assert.Equal(
            "error running createContainer hook #1 (/bin/sh): exit status 3, output: no good",
            Assert.Throws<ContainerException>(() => fixture.Run(Hooked(ContainerFixture.SpecOf("true"), [Script("true"), Script("echo no good; exit 3")]))).Message);
        Assert.Equal(
            "error running createContainer hook #0 (/bin/sh): hook ran past specified timeout of 1.0s",
            Assert.Throws<ContainerException>(() => fixture.Run(Hooked(ContainerFixture.SpecOf("true"), [Script("exec sleep 1000", 1)]))).Message);
        Assert.Equal(
            "error running createContainer hook #0 (/nope): unable to start container process: exec: \"/nope\": stat /nope: no such file or directory",
            Assert.Throws<ContainerException>(() => fixture.Run(Hooked(ContainerFixture.SpecOf("true"), [new Hook { Path = "/nope" }]))).Message);
        Assert.Equal(before, Directory.GetDirectories(fixture.Cgroup));

        using var container = fixture.Maker.Create(fixture.Request(Hooked(ContainerFixture.SpecOf("true"), start: [Script("head -c 300000 /dev/zero; echo bad >&2; exit 4")])));
        try
        {
            var message = Assert.Throws<ContainerException>(() => container.Start(ContainerFixture.Adopt)).Message;
            Assert.StartsWith("error running startContainer hook #0 (/bin/sh): exit status 4", message, StringComparison.Ordinal);
            Assert.InRange(message.Length, 100, 5000);
            Assert.Equal(new ExitStatus(true, 9), Processes.Wait(container.Process.PidFd));
        }
        finally
        {
            container.Delete();
        }
    }
}
