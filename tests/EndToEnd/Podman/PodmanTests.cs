using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Podman;

/// <summary>Containers through Podman and conmon; each case runs with runc too, so that the case itself is tested.</summary>
public sealed class PodmanTests(PodmanEngine podman) : PodmanCase(podman)
{
    private const string UntilTerm = "trap 'exit 42' TERM; echo started; while :; do sleep 0.1; done";

    private readonly PodmanEngine engine = podman;

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Run_gives_output_and_exit_code_and_says_what_cannot_be_executed(string runtime)
    {
        var exit = await RunAsync(runtime, [], "sh", "-c", "echo out; echo err >&2; exit 7");
        Assert.True(exit is { ExitCode: 7, Text: "out", Error: "err\n" }, exit.ToString());
        AssertFails(127, "executable file not found in $PATH", await RunAsync(runtime, [], "nosuch"));
        AssertFails(126, "permission denied", await RunAsync(runtime, [], "/etc"));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_container_is_entered_paused_stopped_started_again_and_killed(string runtime)
    {
        await StartAsync(runtime, [], "sh", "-c", UntilTerm);
        await LoggedAsync(runtime, "started");
        var exec = await PodmanAsync(runtime, "from stdin"u8.ToArray(), "exec", "-i", "-e", "A=1", "-w", "/tmp", "-u", "5:6", Name, "sh", "-c", "cat; echo $A $PWD $(id -u) $(id -g); exit 3");
        Assert.True(exec is { ExitCode: 3, Text: "from stdin1 /tmp 5 6" }, exec.ToString());
        AssertOk(await PodmanAsync(runtime, "exec", "-d", Name, "sh", "-c", "echo done > /detached"));
        await Eventually.HoldsAsync(async () => (await ExecAsync(runtime, "cat", "/detached")).Text == "done", "the detached exec has run");

        AssertOk(await PodmanAsync(runtime, "pause", Name));
        Assert.Equal("paused", await InspectAsync(runtime, "{{.State.Status}}"));
        AssertOk(await PodmanAsync(runtime, "unpause", Name));
        AssertOk(await PodmanAsync(runtime, "kill", "-s", "WINCH", Name));
        Assert.Equal("running", await InspectAsync(runtime, "{{.State.Status}}"));

        AssertOk(await PodmanAsync(runtime, "stop", Name));
        Assert.Equal("exited 42", await InspectAsync(runtime, "{{.State.Status}} {{.State.ExitCode}}"));
        AssertOk(await PodmanAsync(runtime, "start", Name));
        AssertOk(await PodmanAsync(runtime, "kill", Name));
        AssertText("137", await PodmanAsync(runtime, "wait", Name));
        AssertOk(await PodmanAsync(runtime, "rm", Name));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Attached_input_is_the_containers(string runtime)
    {
        AssertOk(await PodmanAsync(runtime, "create", "-i", "--name", Name, "--network", "none", PodmanEngine.Image, "cat"));
        AssertText("typed", await PodmanAsync(runtime, "typed\n"u8.ToArray(), "start", "-ai", Name));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_terminal_is_a_terminal(string runtime)
    {
        var run = await engine.RunOnTerminalAsync(runtime, $"run --rm -t --network none {PodmanEngine.Image} sh -c 'test -t 0 && test -t 1 && tty; exit 5'");
        Assert.True(run is { ExitCode: 5, Text: "/dev/pts/0" }, run.ToString());
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Options_of_run_hold_inside(string runtime)
    {
        Assert.NotEqual(0, (await RunAsync(runtime, ["--read-only"], "sh", "-c", "echo x > /x")).ExitCode);
        AssertText("CapEff:\t0000000000000000", await RunAsync(runtime, ["--cap-drop", "all"], "grep", "CapEff", "/proc/self/status"));
        AssertText("name-1", await RunAsync(runtime, ["--hostname", "name-1"], "hostname"));
        AssertText("1000 1001", await RunAsync(runtime, ["--user", "1000:1001"], "sh", "-c", "echo $(id -u) $(id -g)"));
        AssertText("1024k", await RunAsync(runtime, ["--tmpfs", "/t:size=1m"], "sh", "-c", "echo x > /t/x && grep ' /t ' /proc/mounts | grep -o '[0-9]*k'"));
        Assert.StartsWith("PID", (await RunAsync(runtime, ["--init"], "ps")).Text, StringComparison.Ordinal);
        var init = await RunAsync(runtime, ["--init"], "cat", "/proc/1/cmdline");
        Assert.True(init.Text.Contains("podman-init", StringComparison.Ordinal), init.ToString());
        var unconfined = await RunAsync(runtime, ["--security-opt", "seccomp=unconfined"], "grep", "Seccomp:", "/proc/self/status");
        AssertText("Seccomp:\t0", unconfined);
        AssertText("Seccomp:\t2", await RunAsync(runtime, [], "grep", "Seccomp:", "/proc/self/status"));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Volumes_are_the_hosts_files_and_read_only_is_honoured(string runtime)
    {
        await File.WriteAllTextAsync($"{Directory}/file", "of the host");
        AssertText("of the host", await RunAsync(runtime, ["-v", $"{Directory}:/v"], "sh", "-c", "cat /v/file; echo of the container > /v/written"));
        Assert.Equal("of the container\n", await File.ReadAllTextAsync($"{Directory}/written"));
        Assert.NotEqual(0, (await RunAsync(runtime, ["-v", $"{Directory}:/v:ro"], "sh", "-c", "echo x > /v/refused")).ExitCode);
        Assert.False(File.Exists($"{Directory}/refused"));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Copies_go_to_the_container_and_not_to_the_host(string runtime)
    {
        await StartAsync(runtime, [], "sleep", "1000");
        await File.WriteAllTextAsync($"{Directory}/in", "copied in");
        AssertOk(await PodmanAsync(runtime, "cp", $"{Directory}/in", $"{Name}:/{Name}-in"));
        AssertText("copied in", await ExecAsync(runtime, "cat", $"/{Name}-in"));
        AssertOk(await ExecAsync(runtime, "sh", "-c", $"echo copied out > /{Name}-out"));
        AssertOk(await PodmanAsync(runtime, "cp", $"{Name}:/{Name}-out", $"{Directory}/out"));
        Assert.Equal("copied out\n", await File.ReadAllTextAsync($"{Directory}/out"));
        Assert.False(File.Exists($"/{Name}-in"));
        // Asked for the container's processes, Podman joins the namespaces of its pid: none of the host's may be seen there.
        var processes = await PodmanAsync(runtime, "top", Name, "args");
        Assert.DoesNotContain("conmon", processes.Text, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Memory_is_limited_and_the_limit_can_be_changed(string runtime)
    {
        const string limit = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
        await StartAsync(runtime, ["--memory", "64m", "--cgroupns", "private"], "sleep", "1000");
        AssertText($"{64 << 20}", await ExecAsync(runtime, "sh", "-c", limit));
        AssertOk(await PodmanAsync(runtime, "update", "--memory", "48m", Name));
        AssertText($"{48 << 20}", await ExecAsync(runtime, "sh", "-c", limit));
        Assert.Equal(137, (await RunAsync(runtime, ["--memory", "16m"], "sh", "-c", "tail /dev/zero")).ExitCode);
    }

    [SkippableFact]
    public async Task The_hosts_network_is_refused_with_what_to_do()
    {
        var run = await PodmanAsync("katalike", "run", "--rm", "--network", "host", PodmanEngine.Image, "true");
        AssertFails(126, "the host's network cannot be shared with a virtual machine: add a network namespace (for Podman: --network none)", run);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Containers_of_a_pod_share_what_a_pod_shares(string runtime)
    {
        AssertOk(await PodmanAsync(runtime, "pod", "create", "--name", Name, "--network", "none"));
        foreach (var member in (string[])["a", "b"])
            AssertOk(await PodmanAsync(runtime, "run", "-d", "--pod", Name, "--name", $"{Name}-{member}", PodmanEngine.Image, "sleep", "1000"));
        string[] look = ["sh", "-c", "cat /proc/sys/kernel/random/boot_id; hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"];
        var first = await PodmanAsync(runtime, ["exec", $"{Name}-a", .. look]);
        AssertOk(first);
        AssertText(first.Text, await PodmanAsync(runtime, ["exec", $"{Name}-b", .. look]));
        Assert.Equal(
            runtime == "runc", first.Text.Split('\n')[0] == (await File.ReadAllTextAsync("/proc/sys/kernel/random/boot_id")).Trim());
        AssertOk(await PodmanAsync(runtime, "exec", $"{Name}-a", "sh", "-c", "echo mine > /mark"));
        Assert.NotEqual(0, (await PodmanAsync(runtime, "exec", $"{Name}-b", "cat", "/mark")).ExitCode);

        AssertOk(await PodmanAsync(runtime, "rm", "-f", "-t", "0", $"{Name}-b"));
        AssertText(first.Text, await PodmanAsync(runtime, ["exec", $"{Name}-a", .. look]));
        AssertOk(await PodmanAsync(runtime, "pod", "rm", "-f", "-t", "0", Name));
    }

    [SkippableTheory]
    [InlineData("--infra=false")]
    [InlineData("--share", "none")]
    public async Task Containers_of_a_pod_that_shares_nothing_have_machines_of_their_own(params string[] options)
    {
        AssertOk(await PodmanAsync("katalike", ["pod", "create", "--name", Name, .. options]));
        var boots = new HashSet<string>();
        foreach (var member in (string[])["a", "b"])
        {
            AssertOk(await PodmanAsync(
                "katalike", "run", "-d", "--pod", Name, "--network", "none", "--name", $"{Name}-{member}", PodmanEngine.Image, "sleep", "1000"));
            boots.Add((await PodmanAsync("katalike", "exec", $"{Name}-{member}", "cat", "/proc/sys/kernel/random/boot_id")).Text);
        }
        Assert.Equal(2, boots.Count);
        AssertOk(await PodmanAsync("katalike", "pod", "rm", "-f", "-t", "0", Name));
    }

    private Task LoggedAsync(string runtime, string line) => Eventually.HoldsAsync(
        async () => (await PodmanAsync(runtime, "logs", Name)).Text == line, $"the log is: {line}");
}
