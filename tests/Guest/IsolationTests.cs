using System.Globalization;
using System.Text;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;

namespace KataLike.Guest.Tests;

/// <summary>That what config.json asks of a process holds in the guest, by looking from inside.</summary>
[Collection("machine")]
public sealed class IsolationTests(GuestMachine machine)
{
    private static Spec Change(Spec spec, Func<ProcessSpec, ProcessSpec>? process = null, Func<LinuxSpec, LinuxSpec>? linux = null) => spec with
    {
        Process = (process ?? (same => same))(spec.Process!),
        Linux = (linux ?? (same => same))(spec.Linux!),
    };

    private static IReadOnlyList<Namespace> And(LinuxSpec linux, params string[] types) =>
        [.. linux.Namespaces!, .. types.Select(type => new Namespace { Type = type })];

    private async Task<(string Text, uint Status)> RunAsync(Spec spec)
    {
        await using var container = await GuestContainer.StartAsync(machine, spec);
        container.Streams.Input.Dispose();
        var text = await container.Streams.Text + Encoding.UTF8.GetString(await container.Streams.Error);
        return (text, (await container.WaitAsync()).ExitStatus);
    }

    private async Task<string> RefusalAsync(Spec spec)
    {
        var refused = await Assert.ThrowsAsync<TtrpcException>(() => GuestContainer.CreateAsync(machine, spec));
        return refused.Message;
    }

    private static string[] Lines(string text) =>
        [.. text.TrimEnd('\n').Split('\n').Select(line => string.Join(' ', line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)))];

    private static Seccomp Profile(string action, params string[] names) => new()
    {
        DefaultAction = "SCMP_ACT_ALLOW",
        Architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        Syscalls = [new SeccompRule { Names = names, Action = action, ErrnoRet = action == "SCMP_ACT_ERRNO" ? 13u : null }],
    };

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public Task Seccomp_holds_for_the_first_process_and_for_execs(bool noNewPrivileges) => machine.RunAsync(async () =>
    {
        const string look = "mkdir /tmp/x; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status";
        string[] expected = [$"NoNewPrivs: {(noNewPrivileges ? 1 : 0)}", "Seccomp: 2", "mkdir: can't create directory '/tmp/x': Permission denied"];
        var spec = Change(GuestContainer.Spec(look), process => process with { NoNewPrivileges = noNewPrivileges },
            linux => linux with { Seccomp = Profile("SCMP_ACT_ERRNO", "mkdir", "mkdirat", "getpid") with { Flags = ["SECCOMP_FILTER_FLAG_LOG"] } });
        Assert.Equal(expected, Lines((await RunAsync(spec)).Text));

        await using var container = await GuestContainer.StartAsync(machine, spec with { Process = GuestContainer.Process("cat") });
        using var streams = await container.ExecAsync("look", GuestContainer.Process(look) with { NoNewPrivileges = noNewPrivileges });
        await container.WaitAsync("look");
        Assert.Equal(expected, Lines(await streams.Text + Encoding.UTF8.GetString(await streams.Error)));
    });

    [SkippableFact]
    public Task A_forbidden_call_can_end_the_process() => machine.RunAsync(async () =>
    {
        var spec = Change(GuestContainer.Spec("mkdir /tmp/x; echo $?"), linux: linux => linux with { Seccomp = Profile("SCMP_ACT_KILL_PROCESS", "mkdir", "mkdirat") });
        Assert.Equal(("159\n", 0u), (Last(await RunAsync(spec)), 0u)); // 128 and SIGSYS

        static string Last((string Text, uint) end) => end.Text.Split('\n').First(line => line.All(char.IsAsciiDigit)) + "\n";
    });

    [SkippableFact]
    public Task Capabilities_and_no_new_privileges_are_those_of_the_document() => machine.RunAsync(async () =>
    {
        var spec = Change(GuestContainer.Spec("grep -E '^(Cap|NoNewPrivs|Groups|Uid|Gid)' /proc/self/status; hostname x"), process => process with
        {
            User = new User { Uid = 1000, Gid = 1001, AdditionalGids = [5, 4_000_000_000] },
            Capabilities = new Capabilities
            {
                Bounding = ["CAP_KILL", "CAP_NET_RAW"],
                Permitted = ["CAP_KILL"],
                Effective = ["CAP_KILL"],
                Inheritable = ["CAP_KILL"],
                Ambient = ["CAP_KILL"],
            },
            NoNewPrivileges = true,
        });
        Assert.Equal(
            [
                "Uid: 1000 1000 1000 1000", "Gid: 1001 1001 1001 1001", "Groups: 5 4000000000",
                "CapInh: 0000000000000020", "CapPrm: 0000000000000020", "CapEff: 0000000000000020", "CapBnd: 0000000000002020", "CapAmb: 0000000000000020",
                "NoNewPrivs: 1", "hostname: sethostname: Operation not permitted",
            ],
            Lines((await RunAsync(spec)).Text));
    });

    private static LinuxSpec Mapped(LinuxSpec linux, uint first) => linux with
    {
        Namespaces = And(linux, "user"),
        UidMappings = [new IdMapping { ContainerId = 0, HostId = first, Size = 1000 }, new IdMapping { ContainerId = 1000, HostId = first + 7000, Size = 10 }],
        GidMappings = [new IdMapping { ContainerId = 0, HostId = first, Size = 2000 }],
    };

    [SkippableFact]
    public Task Containers_have_user_namespaces_of_their_own() => machine.RunAsync(async () =>
    {
        const string look = "cat /proc/self/uid_map; id -u; id -G; cd /dev/shm; touch mine; busybox stat -c '%u:%g %n' mine /dev /dev/null /dev/pts /dev/mqueue /sys /name /proc/self/status; "
            + "echo x >/dev/null && echo written; busybox chown 1005:1999 mine && busybox stat -c '%u:%g' mine; busybox mknod node c 1 3; exec cat";
        var spec = Change(GuestContainer.Spec(look), process => process with
        {
            User = new User { AdditionalGids = [7, 1999] },
            Capabilities = new Capabilities { Bounding = ["CAP_CHOWN", "CAP_MKNOD"], Permitted = ["CAP_CHOWN", "CAP_MKNOD"], Effective = ["CAP_CHOWN", "CAP_MKNOD"] },
        });
        foreach (var first in new uint[] { 100_000, 3_000_000_000 })
        {
            var (text, status) = await RunAsync(Change(spec, linux: linux => Mapped(linux, first)));
            Assert.Equal(0u, status);
            Assert.Equal(
                [
                    $"0 {first} 1000", $"1000 {first + 7000} 10", "0", "0 7 1999", "0:0 mine", "0:0 /dev", "0:0 /dev/null", "0:0 /dev/pts", "0:0 /dev/mqueue",
                    // These belong to the guest's root, who has no id inside.
                    "65534:65534 /sys", "65534:65534 /name", "0:0 /proc/self/status", "written", "1005:1999", "mknod: node: Operation not permitted",
                ],
                Lines(text));
        }
    });

    [SkippableFact]
    public Task An_exec_and_its_terminal_are_in_the_user_namespace() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, Change(GuestContainer.Spec("cat"), linux: linux => Mapped(linux, 100_000)));
        var process = GuestContainer.Process("id -u; busybox stat -c %u $(tty); stty size; ulimit -n; touch /proc/self/oom_score_adj && echo mine") with
        {
            Terminal = true,
            ConsoleSize = new ConsoleSize { Width = 90, Height = 33 },
            User = new User { Uid = 1001, Gid = 5 },
            Rlimits = [new Rlimit { Type = "RLIMIT_NOFILE", Soft = 5000, Hard = 1_000_000 }],
        };
        using var streams = await container.ExecAsync("terminal", process, vsock => HostStreams.Terminal(vsock, 0, 0));
        await container.WaitAsync("terminal");
        Assert.Equal("1001\r\n1001\r\n33 90\r\n5000\r\nmine\r\n", await streams.Text);
        var refused = await Assert.ThrowsAsync<TtrpcException>(() => container.ExecAsync("nobody", process with { Terminal = false, User = new User { Uid = 1500 } }));
        Assert.Equal("unable to start container process: process.user: the user namespace has no id for one of 1500, 0", refused.Message);
    });

    [SkippableFact]
    public Task Clocks_are_those_of_the_time_namespace() => machine.RunAsync(async () =>
    {
        var spec = Change(GuestContainer.Spec("cat /proc/self/timens_offsets /proc/uptime; cat"), linux: linux => linux with
        {
            Namespaces = And(linux, "time"),
            TimeOffsets = new Dictionary<string, TimeOffset> { ["boottime"] = new() { Secs = 1_000_000_000 }, ["monotonic"] = new() { Secs = -1, Nanosecs = 5 } },
        });
        await using var container = await GuestContainer.StartAsync(machine, spec);
        var uptime = Lines(await container.ExecTextAsync("look", "cat /proc/uptime"))[0];
        container.Streams.Input.Dispose();
        var lines = Lines(await container.Streams.Text);
        Assert.Equal(["monotonic -1 5", "boottime 1000000000 0"], lines[..2]);
        Assert.All(new[] { lines[2], uptime }, text => Assert.StartsWith("1000", text, StringComparison.Ordinal));
    });

    [SkippableFact]
    public Task Scheduling_and_personality_are_those_of_the_document() => machine.RunAsync(async () =>
    {
        var spec = Change(
            GuestContainer.Spec("busybox cut -d' ' -f19,40,41 /proc/self/stat; busybox uname -m; busybox ionice; cat /proc/self/oom_score_adj; umask"),
            process => process with
            {
                Scheduler = new Scheduler { Policy = "SCHED_FIFO", Priority = 3, Flags = [] },
                IoPriority = new IoPriority { Class = "IOPRIO_CLASS_RT", Priority = 2 },
                OomScoreAdj = 77,
                User = new User { Uid = 1000, Umask = 23 },
            },
            linux => linux with { Personality = new Personality { Domain = "LINUX32" } });
        Assert.Equal(["0 3 1", "i686", "realtime: prio 2", "77", "0027"], Lines((await RunAsync(spec)).Text));

        await using var container = await GuestContainer.StartAsync(machine, spec with { Process = GuestContainer.Process("cat") });
        using var streams = await container.ExecAsync("idle", GuestContainer.Process("busybox cut -d' ' -f19,40,41 /proc/self/stat; busybox uname -m; grep Cpus_allowed_list /proc/self/status") with
        {
            Scheduler = new Scheduler { Policy = "SCHED_BATCH", Nice = 5 },
            ExecCpuAffinity = new ExecCpuAffinity { Final = "0" },
        });
        await container.WaitAsync("idle");
        Assert.Equal(["5 0 3", "i686", "Cpus_allowed_list: 0"], Lines(await streams.Text));
    });

    [SkippableFact]
    public Task A_container_that_divided_its_cgroup_takes_an_exec() => machine.RunAsync(async () =>
    {
        const string divide = "cd /sys/fs/cgroup; mkdir leaf; echo $$ >leaf/cgroup.procs; echo '+memory +pids' >cgroup.subtree_control; echo ready; exec cat";
        foreach (var mapped in new[] { false, true })
        {
            var spec = GuestContainer.Spec(divide);
            spec = Change(spec with { Mounts = [.. spec.Mounts!.Select(mount => mount.Type == "cgroup" ? mount with { Options = ["rw"] } : mount)] },
                linux: linux => mapped ? Mapped(linux, 100_000) : linux);
            await using var container = await GuestContainer.StartAsync(machine, spec);
            // An exec before it is done would be in its way.
            ProcessInfo? first;
            do first = (await machine.Agent.ProcessesAsync(new ProcessesRequest { Id = container.Id })).Processes.FirstOrDefault();
            while (first?.Arguments.FirstOrDefault() != "cat");
            Assert.Equal("0::/leaf\nmemory pids\n", await container.ExecTextAsync("again", "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.subtree_control"));
        }
    });

    [SkippableFact]
    public Task Limits_of_the_guest_are_set_where_they_belong() => machine.RunAsync(async () =>
    {
        var spec = Change(GuestContainer.Spec("cd /sys/fs/cgroup; cat pids.max memory.high cpu.weight cpuset.cpus hugetlb.2MB.max; cat /proc/self/cgroup"), linux: linux => linux with
        {
            CgroupsPath = "/katalike/tests/limits",
            Namespaces = [.. linux.Namespaces!.Where(entry => entry.Type != "cgroup")],
            Resources = new Resources
            {
                Pids = new PidsLimits { Limit = 20 },
                Cpu = new CpuLimits { Shares = 2048, Cpus = "0" },
                Network = new NetworkLimits { ClassId = 5 },
                HugepageLimits = [new HugepageLimit { PageSize = "2MB", Limit = 4 << 20 }],
                Unified = new Dictionary<string, string> { ["memory.high"] = "67108864" },
            },
        });
        var lines = Lines((await RunAsync(spec)).Text);
        Assert.Equal(["20", "67108864", "79", "0", "4194304", "0::/katalike/katalike/tests/limits"], lines);
        var unknown = Change(spec, linux: linux => linux with { Resources = new Resources { Unified = new Dictionary<string, string> { ["nope.max"] = "1" } } });
        Assert.Equal("unified resource \"nope.max\" can't be set: controller \"nope\" not available", await RefusalAsync(unknown));
    });

    private static Hook Script(string script) => new() { Path = "/bin/sh", Args = ["sh", "-c", script], Env = ["PATH=/bin"], Timeout = 60 };

    [SkippableFact]
    public Task Hooks_of_the_guest_run_before_the_process() => machine.RunAsync(async () =>
    {
        var spec = Change(GuestContainer.Spec("cat /dev/shm/create /dev/shm/start"), process => process with { User = new User { Uid = 1000 } });
        spec = spec with
        {
            Annotations = new Dictionary<string, string> { ["who"] = "me" },
            Hooks = new Hooks
            {
                CreateContainer = [Script("cat >/dev/shm/create; hostname hooked; echo \" $(id -u) $(hostname)\" >>/dev/shm/create; busybox chmod 644 /dev/shm/create")],
                StartContainer = [Script("cat >/dev/shm/start; echo \" $(id -u)\" >>/dev/shm/start")],
            },
        };
        var lines = Lines((await RunAsync(spec)).Text);
        Assert.Matches("\"pid\":1,\"status\":\"creating\",\"bundle\":\"/bundle\",\"annotations\":{\"who\":\"me\"}} 0 hooked$", lines[0]);
        Assert.Matches("\"pid\":1,\"status\":\"created\".*} 1000$", lines[1]);

        var failing = spec with { Hooks = new Hooks { CreateContainer = [Script("true"), Script("echo broken >&2; exit 7")] } };
        Assert.Equal("error running createContainer hook #1 (/bin/sh): exit status 7, output: broken", await RefusalAsync(failing));

        await using var container = await GuestContainer.CreateAsync(machine, spec with { Hooks = new Hooks { StartContainer = [Script("exit 8")] } });
        var refused = await Assert.ThrowsAsync<TtrpcException>(container.StartAsync);
        Assert.Equal("error running startContainer hook #0 (/bin/sh): exit status 8, output: ", refused.Message);
        Assert.Equal(137u, (await container.WaitAsync()).ExitStatus);
    });

    [SkippableFact]
    public Task What_cannot_be_is_refused_in_one_line() => machine.RunAsync(async () =>
    {
        var spec = GuestContainer.Spec("true");
        Namespace At(string type) => new() { Type = type, Path = $"/proc/4711/ns/{type}" };
        Assert.Equal("linux.memoryPolicy is not supported", await RefusalAsync(Change(spec, linux: linux => linux with { MemoryPolicy = new MemoryPolicy { Mode = "MPOL_BIND" } })));
        Assert.Equal("linux.intelRdt is not supported", await RefusalAsync(Change(spec, linux: linux => linux with { IntelRdt = new IntelRdt { ClosId = "x" } })));
        Assert.Equal(
            "linux.namespaces: joining the mount namespace /proc/4711/ns/mount is not supported: it is the host's",
            await RefusalAsync(Change(spec, linux: linux => linux with { Namespaces = [At("mount")], MaskedPaths = null, ReadonlyPaths = null }) with { Hostname = null }));
        Assert.Equal("linux.seccomp: the host has not compiled it", await RefusalAsync(Change(spec, linux: linux => linux with { Seccomp = Profile("SCMP_ACT_ERRNO", "mkdir") }) with { OciVersion = "1.0.0" }, compile: false));
    });

    private async Task<string> RefusalAsync(Spec spec, bool compile)
    {
        var refused = await Assert.ThrowsAsync<TtrpcException>(() => GuestContainer.CreateAsync(machine, spec, compile: compile));
        return refused.Message;
    }
}

/// <summary>Containers of a sandbox that share namespaces, which are those of its first container: a machine of its own.</summary>
public sealed class SharingTests(GuestMachine machine) : IClassFixture<GuestMachine>
{
    [SkippableFact]
    public Task Later_containers_share_the_namespaces_of_the_first() => machine.RunAsync(async () =>
    {
        var spec = GuestContainer.Spec("echo $$; for n in user net ipc uts pid time; do busybox readlink /proc/self/ns/$n; done; cat");
        var mappings = new[] { new IdMapping { ContainerId = 0, HostId = 50_000, Size = 1000 } };
        var pause = spec with
        {
            Linux = spec.Linux! with
            {
                Namespaces = [.. spec.Linux.Namespaces!, new Namespace { Type = "user" }, new Namespace { Type = "time" }],
                UidMappings = mappings,
                GidMappings = mappings,
                TimeOffsets = new Dictionary<string, TimeOffset> { ["boottime"] = new() { Secs = 99 } },
            },
        };
        await using var first = await GuestContainer.StartAsync(machine, pause);
        Namespace[] shared = [.. new[] { "user", "network", "ipc", "uts", "time" }.Select(type => new Namespace { Type = type, Path = $"/proc/4711/ns/{type}" })];
        Namespace[] own = [new Namespace { Type = "mount" }, new Namespace { Type = "cgroup" }];

        var apart = spec with { Hostname = null, Linux = spec.Linux! with { Namespaces = [.. own, .. shared, new Namespace { Type = "pid" }] } };
        await using var second = await GuestContainer.StartAsync(machine, apart, "b");
        var together = spec with { Hostname = null, Linux = spec.Linux! with { Namespaces = [.. own, .. shared, new Namespace { Type = "pid", Path = "/proc/4711/ns/pid" }] } };
        await using var third = await GuestContainer.StartAsync(machine, together, "b");

        // The last first: the end of the first one's pid namespace is the end of the third.
        var texts = new string[3][];
        foreach (var (container, index) in new[] { (third, 2), (second, 1), (first, 0) })
        {
            container.Streams.Input.Dispose();
            texts[index] = (await container.Streams.Text + Encoding.UTF8.GetString(await container.Streams.Error)).Split('\n');
        }
        Assert.Equal(texts[0][1..5], texts[1][1..5]);
        Assert.Equal(texts[0][1..7], texts[2][1..7]);
        Assert.Equal(texts[0][6], texts[1][6]);
        Assert.NotEqual(texts[0][5], texts[1][5]);
        Assert.Equal(("1", "1"), (texts[0][0], texts[1][0]));
        Assert.True(int.Parse(texts[2][0], CultureInfo.InvariantCulture) > 1);
    });
}
