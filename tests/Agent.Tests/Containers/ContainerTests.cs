using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Tests.Containers;

/// <summary>Real containers, looked at from inside.</summary>
public class ContainerTests(ContainerFixture fixture) : IClassFixture<ContainerFixture>
{
    private static void NeedsHost() => Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);

    private static Spec With(string script, Func<ProcessSpec, ProcessSpec> change)
    {
        var spec = ContainerFixture.SpecOf(script);
        return spec with { Process = change(spec.Process!) };
    }

    [SkippableFact]
    public void RunsWithOutputAndExitStatus()
    {
        NeedsHost();
        var (output, status) = fixture.Run(ContainerFixture.SpecOf("echo hello; exit 7"));
        Assert.Equal("hello\n", output);
        Assert.Equal(new ExitStatus(false, 7), status);
    }

    [SkippableFact]
    public void NamespacesAreItsOwnAndTheLoopbackIsUp()
    {
        NeedsHost();
        var spec = ContainerFixture.SpecOf("echo $$; hostname; ip -o addr show lo | grep -c 127.0.0.1; for n in pid mnt uts ipc net; do readlink /proc/self/ns/$n; done");
        var lines = fixture.Run(spec with { Hostname = "inside" }).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["1", "inside", "1"], lines[..3]);
        foreach (var ns in lines[3..])
            Assert.NotEqual(new FileInfo($"/proc/self/ns/{ns.Split(':')[0]}").LinkTarget, ns);
        Assert.NotEqual("inside", Environment.MachineName);
    }

    [SkippableFact]
    public void CgroupNamespaceShowsTheContainersCgroupAsRoot()
    {
        NeedsHost();
        var spec = ContainerFixture.SpecOf("grep ^0:: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; grep cgroup2 /proc/self/mountinfo");
        var namespaces = spec.Linux!.Namespaces!.Append(new Namespace { Type = "cgroup" }).ToList();
        var lines = fixture.Run(spec with { Linux = spec.Linux with { Namespaces = namespaces } }).Output.Split('\n');
        Assert.Equal("0::/", lines[0]);
        Assert.Equal("1", lines[1]);
        Assert.Contains(" / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime", lines[^2]);
    }

    [SkippableFact]
    public void CapabilitiesUserGroupsAndPrivilegesAreSet()
    {
        NeedsHost();
        var output = fixture.Run(With("grep -E '^(Cap|Uid|Gid|Groups|NoNewPrivs)' /proc/self/status; pwd; echo $HOME; umask", process => process with
        {
            User = new User { Uid = 1000, Gid = 1001, AdditionalGids = [5, 6], Umask = 0x3f },
            Cwd = "/srv/place",
            Capabilities = new Capabilities
            {
                Bounding = ["CAP_KILL", "CAP_CHOWN"],
                Effective = ["CAP_KILL"],
                Permitted = ["CAP_KILL", "CAP_CHOWN"],
                Inheritable = ["CAP_KILL"],
                Ambient = ["CAP_KILL"],
            },
        })).Output;
        Assert.Equal(
            """
            Uid:	1000	1000	1000	1000
            Gid:	1001	1001	1001	1001
            Groups:	5 6 
            CapInh:	0000000000000020
            CapPrm:	0000000000000020
            CapEff:	0000000000000020
            CapBnd:	0000000000000021
            CapAmb:	0000000000000020
            NoNewPrivs:	1
            /srv/place
            /home/user
            0077

            """, output);
    }

    [SkippableFact]
    public void ProcessWithoutCapabilitiesHasNone()
    {
        NeedsHost();
        var output = fixture.Run(With("grep ^Cap /proc/self/status", process => process with { Capabilities = null, NoNewPrivileges = false })).Output;
        Assert.All(output.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.EndsWith("\t0000000000000000", line));
    }

    [SkippableFact]
    public void LimitsAndOomScoreAreSet()
    {
        NeedsHost();
        var output = fixture.Run(With("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj", process => process with
        {
            Rlimits = [new Rlimit { Type = "RLIMIT_NOFILE", Soft = 100, Hard = 200 }, new Rlimit { Type = "RLIMIT_CORE" }],
            OomScoreAdj = 321,
        })).Output;
        Assert.Equal("100\n200\n0\n321\n", output);
    }

    [SkippableFact]
    public void NothingOfTheParentIsOpenInTheContainer()
    {
        NeedsHost();
        var output = fixture.Output("ls /proc/$$/fd; true");
        Assert.Equal("0\n1\n2\n", output);
    }

    [SkippableFact]
    public void DevicesAndLinksAreMade()
    {
        NeedsHost();
        var output = fixture.Output("cd /dev; ls | grep -v core; stat -c '%n %F %t,%T %a' null zero full random urandom tty; for link in fd stdin stdout stderr ptmx; do readlink $link; done; echo x > null; dd if=zero bs=4 count=1 2>/dev/null | wc -c");
        Assert.Equal(
            """
            fd
            full
            mqueue
            null
            ptmx
            pts
            random
            shm
            stderr
            stdin
            stdout
            tty
            urandom
            zero
            null character special file 1,3 666
            zero character special file 1,5 666
            full character special file 1,7 666
            random character special file 1,8 666
            urandom character special file 1,9 666
            tty character special file 5,0 666
            /proc/self/fd
            /proc/self/fd/0
            /proc/self/fd/1
            /proc/self/fd/2
            pts/ptmx

            """, output[..output.LastIndexOf("4\n", StringComparison.Ordinal)]);
    }

    [SkippableFact]
    public void DeviceRulesHoldInTheKernel()
    {
        NeedsHost();
        // The default: what every container has, and nothing else, though the node itself can be made.
        var capable = new Capabilities { Bounding = ["CAP_MKNOD"], Effective = ["CAP_MKNOD"], Permitted = ["CAP_MKNOD"] };
        var spec = With("mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg 2>&1 | head -1; cat /dev/null && echo allowed", process => process with { Capabilities = capable });
        spec = spec with { Mounts = [.. spec.Mounts!.Where(mount => mount.Destination != "/tmp")] };
        Assert.Equal("cat: can't open '/tmp/kmsg': Operation not permitted\nallowed\n", fixture.Run(spec).Output);
    }

    [SkippableFact]
    public void MaskedAndReadonlyPathsAreGuarded()
    {
        NeedsHost();
        var spec = ContainerFixture.SpecOf("cat /secret; ls /hidden; touch /guarded/x 2>&1; touch /open/x && echo wrote; echo 1 2>&1 > /proc/sys/kernel/x; cat /proc/kcore | wc -c");
        var rootfs = fixture.MakeRootfs(root =>
        {
            File.WriteAllText($"{root}/secret", "secret");
            foreach (var name in new[] { "hidden", "guarded", "open" })
                Directory.CreateDirectory($"{root}/{name}");
            File.WriteAllText($"{root}/hidden/x", "");
        });
        spec = spec with
        {
            Linux = spec.Linux! with
            {
                MaskedPaths = ["/secret", "/hidden", "/proc/kcore", "/missing"],
                ReadonlyPaths = ["/guarded", "/proc/sys", "/missing/too"],
            },
        };
        var output = fixture.Run(spec, rootfs).Output;
        Assert.StartsWith("touch: /guarded/x: Read-only file system\nwrote\n", output);
        Assert.Contains("can't create /proc/sys/kernel/x", output);
        Assert.EndsWith("\n0\n", output);
    }

    [SkippableFact]
    public void ReadonlyRootIsReadonlyAndItsMountsAreNot()
    {
        NeedsHost();
        var spec = ContainerFixture.SpecOf("touch /x 2>&1; touch /dev/shm/x && echo wrote");
        Assert.Equal("touch: /x: Read-only file system\nwrote\n", fixture.Run(spec with { Root = new Root { Path = "r", Readonly = true } }).Output);
    }

    [SkippableFact]
    public void BindMountsAndTheirOptionsHold()
    {
        NeedsHost();
        var shared = Directory.CreateDirectory($"{fixture.Directory}/shared").FullName;
        File.WriteAllText($"{shared}/file", "content\n");
        var spec = ContainerFixture.SpecOf("cat /a/b/file /c; touch /a/b/x 2>&1; grep -E ' /(a/b|c|t) ' /proc/self/mounts | cut -d' ' -f2-4");
        var request = fixture.Request(spec with
        {
            Mounts =
            [
                .. spec.Mounts!,
                new Mount { Destination = "/a/b", Type = "none", Source = "/x", Options = ["rbind", "ro", "nosuid", "noexec"] },
                new Mount { Destination = "/c", Source = "/y", Options = ["bind", "rprivate", "nodev"] },
                new Mount { Destination = "/t", Type = "tmpfs", Source = "tmpfs", Options = ["size=64k", "mode=700", "ro"] },
            ],
        });
        var index = spec.Mounts!.Count;
        var (output, _) = fixture.Run(request with
        {
            MountSources = new Dictionary<int, string> { [index] = shared, [index + 1] = $"{shared}/file" },
        });
        var type = new DriveInfo(fixture.Directory).DriveFormat;
        Assert.StartsWith("content\ncontent\ntouch: /a/b/x: Read-only file system\n", output);
        Assert.Matches(@"/a/b \w+ ro,nosuid,noexec,relatime", output);
        Assert.Matches(@"/c \w+ rw,nodev,relatime", output);
        Assert.Contains("/t tmpfs ro,relatime,size=64k,mode=700", output);
    }

    [SkippableFact]
    public void TmpfsCanBeginWithWhatItHides()
    {
        NeedsHost();
        var rootfs = fixture.MakeRootfs(root =>
        {
            Directory.CreateDirectory($"{root}/var/deep");
            File.WriteAllText($"{root}/var/deep/file", "kept\n");
            File.SetUnixFileMode($"{root}/var/deep/file", (UnixFileMode)0x1a0);
            File.CreateSymbolicLink($"{root}/var/link", "/etc/shadow");
        });
        var spec = ContainerFixture.SpecOf("cat /var/deep/file; stat -c %a /var/deep/file; readlink /var/link; touch /var/new && echo wrote");
        spec = spec with { Mounts = [.. spec.Mounts!, new Mount { Destination = "/var", Type = "tmpfs", Source = "tmpfs", Options = ["tmpcopyup"] }] };
        Assert.Equal("kept\n640\n/etc/shadow\nwrote\n", fixture.Run(spec, rootfs).Output);
        Assert.False(File.Exists($"{rootfs}/var/new"));
    }

    /// <summary>A root file system made by an attacker: its links point to the guest's own files.</summary>
    [SkippableFact]
    public void LinksOfTheRootFileSystemDoNotLeadOut()
    {
        NeedsHost();
        var outside = Directory.CreateDirectory($"{fixture.Directory}/outside").FullName;
        var rootfs = fixture.MakeRootfs(root =>
        {
            Directory.Delete($"{root}/dev");
            Directory.CreateSymbolicLink($"{root}/dev", outside);
            Directory.CreateSymbolicLink($"{root}/up", "../../../../../../.." + outside);
            File.CreateSymbolicLink($"{root}/dangling", outside + "/made");
            Directory.CreateSymbolicLink($"{root}/loop", "loop");
        });
        var spec = ContainerFixture.SpecOf($"ls {outside}; echo a > /up/by-up; ls {outside}/by-up; grep -c ' {outside}/made ' /proc/self/mounts");
        spec = spec with
        {
            Mounts =
            [
                spec.Mounts!.Single(mount => mount.Destination == "/proc"),
                new Mount { Destination = "/up/mounted", Type = "tmpfs", Source = "tmpfs" },
                new Mount { Destination = "/dangling", Source = "/x", Options = ["bind"] },
            ],
        };
        var request = fixture.Request(spec, rootfs) with { MountSources = new Dictionary<int, string> { [2] = "/etc/hostname" } };
        var (output, _) = fixture.Run(request);
        Assert.Empty(Directory.EnumerateFileSystemEntries(outside));
        Assert.Contains("null\n", output);
        Assert.Contains("mounted\n", output);
        Assert.EndsWith($"{outside}/by-up\n1\n", output);

        var looping = spec with { Mounts = [.. spec.Mounts!.Take(1), new Mount { Destination = "/loop/x", Type = "tmpfs" }] };
        var error = Assert.Throws<ContainerException>(() => fixture.Run(looping, rootfs));
        Assert.Equal("error mounting \"\" to rootfs at \"/loop/x\": open /loop/x: too many levels of symbolic links", error.Message);
    }

    [SkippableFact]
    public void TerminalIsTheSessionsAndTheConsole()
    {
        NeedsHost();
        var spec = With("tty; stty size; echo x > /dev/console; stat -c %u /dev/pts/0; read line; echo got $line", process => process with
        {
            Terminal = true,
            User = new User { Uid = 1000 },
        });
        using var container = fixture.Maker.Create(fixture.Request(spec, stdio: new Stdio { Terminal = true, Columns = 97, Rows = 31 }));
        try
        {
            using var master = container.Process.Terminal!;
            container.Start(ContainerFixture.Adopt);
            Files.Write(master, "line\n"u8);
            var output = ContainerFixture.ReadAll(master);
            Assert.Contains("/dev/pts/0\r\n31 97\r\nx\r\n1000\r\n", output.Replace("line\r\n", "", StringComparison.Ordinal));
            Assert.EndsWith("got line\r\n", output);
            Assert.Equal(0, Processes.Wait(container.Process.PidFd).Code);
        }
        finally
        {
            container.Delete();
        }
    }

    [SkippableFact]
    public void SysctlsAreThoseOfTheNamespace()
    {
        NeedsHost();
        var spec = ContainerFixture.SpecOf("cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax");
        spec = spec with { Linux = spec.Linux! with { Sysctl = new Dictionary<string, string> { ["net.ipv4.ip_default_ttl"] = "77", ["kernel.msgmax"] = "4321" } } };
        Assert.Equal("77\n4321\n", fixture.Run(spec).Output);
        Assert.NotEqual("77\n", File.ReadAllText("/proc/sys/net/ipv4/ip_default_ttl"));
    }

    [SkippableTheory]
    [InlineData("nonsense", "unable to start container process: exec: \"nonsense\": executable file not found in $PATH")]
    [InlineData("/nonsense", "unable to start container process: exec: \"/nonsense\": stat /nonsense: no such file or directory")]
    [InlineData("/etc/passwd", "unable to start container process: exec: \"/etc/passwd\": permission denied")]
    [InlineData("/etc", "unable to start container process: exec: \"/etc\": permission denied")]
    [InlineData("/bin/secret", "unable to start container process: exec: \"/bin/secret\": permission denied")]
    public void ProgramThatIsNotThereIsNamedAtCreate(string program, string message)
    {
        NeedsHost();
        var rootfs = fixture.MakeRootfs(root =>
        {
            File.WriteAllText($"{root}/bin/secret", "");
            File.SetUnixFileMode($"{root}/bin/secret", (UnixFileMode)0x1c0);
        });
        var before = Directory.GetDirectories(fixture.Cgroup);
        var spec = With("", process => process with { Args = [program], User = new User { Uid = 1000 }, Capabilities = null });
        Assert.Equal(message, Assert.Throws<ContainerException>(() => fixture.Run(spec, rootfs)).Message);
        Assert.Equal(before, Directory.GetDirectories(fixture.Cgroup));
    }

    [SkippableTheory]
    [InlineData("/bin/garbage", "unable to start container process: exec /bin/garbage: exec format error")]
    [InlineData("/bin/orphan", "unable to start container process: exec /bin/orphan: no such file or directory")]
    public void ProgramThatCannotBeExecutedIsNamedAtStart(string program, string message)
    {
        NeedsHost();
        var rootfs = fixture.MakeRootfs(root =>
        {
            foreach (var (name, content) in new[] { ("garbage", "garbage"), ("orphan", "#!/no/interpreter\n") })
            {
                File.WriteAllText($"{root}/bin/{name}", content);
                File.SetUnixFileMode($"{root}/bin/{name}", (UnixFileMode)0x1ed);
            }
        });
        using var container = fixture.Maker.Create(fixture.Request(With("", process => process with { Args = [program] }), rootfs));
        Assert.Equal(message, Assert.Throws<ContainerException>(() => container.Start(ContainerFixture.Adopt)).Message);
        Processes.Wait(container.Process.PidFd);
        container.Delete();
        Assert.False(Directory.Exists(container.Cgroup.Path));
    }

    [SkippableFact]
    public void FailureOfCreateLeavesNothing()
    {
        NeedsHost();
        var before = Directory.GetDirectories(fixture.Cgroup);
        var mounts = File.ReadAllText("/proc/self/mountinfo");
        var spec = ContainerFixture.SpecOf("true");
        var unknown = spec with { Mounts = [.. spec.Mounts!, new Mount { Destination = "/x", Type = "nonsensefs" }] };
        Assert.Equal("error mounting \"\" to rootfs at \"/x\": mount nonsensefs: no such device", Assert.Throws<ContainerException>(() => fixture.Run(unknown)).Message);
        Assert.Equal(
            "unable to start container process: chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory",
            Assert.Throws<ContainerException>(() => fixture.Run(With("true", process => process with { Cwd = "/etc/passwd" }))).Message);
        Assert.Equal(
            "root.path: open /nowhere: no such file or directory",
            Assert.Throws<ContainerException>(() => fixture.Run(spec, "/nowhere")).Message);
        Assert.Equal(before, Directory.GetDirectories(fixture.Cgroup));
        Assert.Equal(mounts, File.ReadAllText("/proc/self/mountinfo"));
    }

    [SkippableFact]
    public void SeccompProgramIsLoadedJustBeforeExecve()
    {
        NeedsHost();
        // struct sock_filter: load the call's number; mkdir (83) fails with EPERM; all else is allowed.
        ulong[] program = [0x20, 0x15 | 1UL << 24 | 83UL << 32, 0x06 | 0x00050001UL << 32, 0x06 | 0x7fff0000UL << 32];
        var request = fixture.Request(ContainerFixture.SpecOf("mkdir /tmp/x 2>&1; grep ^Seccomp: /proc/self/status")) with
        {
            Seccomp = new Contract.Agent.SeccompProgram { Code = Google.Protobuf.ByteString.CopyFrom([.. program.SelectMany(BitConverter.GetBytes)]) },
        };
        var output = fixture.Run(request with { Rootfs = fixture.MakeRootfs(root => File.CreateSymbolicLink($"{root}/bin/mkdir", "busybox")) }).Output;
        Assert.Equal("mkdir: can't create directory '/tmp/x': Operation not permitted\nSeccomp:\t2\n", output);
    }

    [SkippableFact]
    public void ParkedContainerLeavesWhenTheAgentLetsGo()
    {
        NeedsHost();
        var container = fixture.Maker.Create(fixture.Request(ContainerFixture.SpecOf("echo never")));
        Assert.Equal([container.Process.Pid], container.ProcessIds());
        using var pidFd = container.Process.PidFd.Duplicate();
        container.Process.Dispose();
        Assert.Equal(new ExitStatus(false, 127), Processes.Wait(pidFd));
        container.Delete();
        container.Dispose();
    }
}
