using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>The life of a container through the command line; each case runs with runc too, so that the case itself is tested.</summary>
public sealed class LifecycleTests : CommandLineCase
{
    private const string Forever = "trap 'exit 42' TERM; echo ready > /ready; while :; do sleep 0.1; done";

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Run_gives_the_containers_output_and_exit_code(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("echo", "hello");
        var echo = await runtime.RunAsync("run", "--bundle", bundle.Path, Id);
        Assert.True(echo is { ExitCode: 0, Text: "hello", Error: "" }, echo.ToString());

        bundle.Write(["sh", "-c", "echo out; echo err >&2; exit 7"]);
        var exit = await runtime.RunAsync("run", "-b", bundle.Path, Id);
        Assert.True(exit is { ExitCode: 7, Text: "out", Error: "err\n" }, exit.ToString());
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    [SkippableFact]
    public async Task A_timeline_tells_the_steps_of_host_and_guest_in_their_order()
    {
        var runtime = Runtime("katalike");
        var bundle = Bundle("echo", "hello");
        var run = await runtime.RunAsync("run", "--timeline", "--bundle", bundle.Path, Id);
        Assert.True(run is { ExitCode: 0, Text: "hello" }, run.ToString());
        var steps = run.Error.Split('\n').Select(line => line.Length > 36 ? line[36..] : "").ToList();
        // A copy's agent runs already.
        string[] expected =
            ["process executed", "machine begins", steps.Contains("memory copied") ? "vsock device found" : "agent runs", "host dialled", "container runs its program", "all removed"];
        Assert.Equal(expected, steps.Intersect(expected));

        AssertRefused(await runtime.RunAsync("run", "--detach", "--timeline", "--bundle", bundle.Path, Id), 1, "--timeline needs the command to last as long as the container");
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Cat_copies_64_MiB_unharmed(string name)
    {
        var runtime = Runtime(name);
        var input = new byte[64 << 20];
        new Random(1).NextBytes(input);
        var cat = await runtime.RunAsync(input, "run", "--bundle", Bundle("cat").Path, Id);
        Assert.True(cat.ExitCode == 0, $"exit code {cat.ExitCode}: {cat.Error}");
        Assert.Equal((input.Length, Convert.ToHexString(SHA256.HashData(input))), (cat.Output.Length, Convert.ToHexString(SHA256.HashData(cat.Output))));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_command_that_cannot_be_executed_is_refused_in_the_words_that_callers_match(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("nosuch");
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "exec: \\\"nosuch\\\": executable file not found in $PATH");
        bundle.Write(["/nosuch"]);
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "exec: \\\"/nosuch\\\": stat /nosuch: no such file or directory");
        bundle.Write(["/not-executable"]);
        AssertRefused(await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1, "exec: \\\"/not-executable\\\": permission denied");
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_container_goes_through_its_states(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sh", "-c", Forever);
        AssertOk(await runtime.DetachAsync("create", "--bundle", bundle.Path, "--pid-file", $"{Directory}/pid", Id));
        var state = await StateAsync(runtime);
        Assert.Equal(("created", Id, bundle.Path, bundle.Rootfs), ((string?)state["status"], (string?)state["id"], (string?)state["bundle"], (string?)state["rootfs"]));
        Assert.Equal(File.ReadAllText($"{Directory}/pid"), $"{state["pid"]}");
        Assert.True(DateTimeOffset.TryParse((string?)state["created"], out _));
        Assert.StartsWith("1.", (string?)state["ociVersion"], StringComparison.Ordinal);
        AssertRefused(await runtime.RunAsync("create", "--bundle", bundle.Path, Id), 1, "create failed: container with given ID already exists");

        AssertOk(await runtime.RunAsync("start", Id));
        await ReadyAsync(bundle);
        Assert.Equal("running", (string?)(await StateAsync(runtime))["status"]);
        AssertRefused(await runtime.RunAsync("start", Id), 1, "cannot start an already running container");
        AssertRefused(await runtime.RunAsync("delete", Id), 1, $"cannot delete container {Id} that is not stopped: running");
        AssertRefused(await runtime.RunAsync("kill", Id, "FOO"), 1, "unknown signal");
        AssertRefused(await runtime.RunAsync("kill", Id, "99"), 1, "invalid argument");
        AssertRefused(await runtime.RunAsync("resume", Id), 1, "container not paused");
        AssertOk(await runtime.RunAsync("kill", Id, "0"));
        Assert.Matches($"^ID +PID +STATUS +BUNDLE +CREATED +OWNER\n{Id} +[0-9]+ +running +/.* +[0-9].*Z +root$", (await runtime.RunAsync("list")).Text);
        using (var list = JsonDocument.Parse((await runtime.RunAsync("list", "-f", "json")).Text))
            Assert.Equal("running", list.RootElement[0].GetProperty("status").GetString());

        AssertOk(await runtime.RunAsync("pause", Id));
        Assert.Equal("paused", (string?)(await StateAsync(runtime))["status"]);
        AssertOk(await runtime.RunAsync("resume", Id));

        AssertOk(await runtime.RunAsync("kill", Id, "KILL"));
        await StoppedAsync(runtime);
        AssertRefused(await runtime.RunAsync("kill", Id, "KILL"), 1, "container not running");
        AssertRefused(await runtime.RunAsync("start", Id), 1, "cannot start a container that has stopped");
        AssertRefused(await runtime.RunAsync("exec", Id, "true"), 255, "exec failed: cannot exec in a stopped container");
        AssertOk(await runtime.RunAsync("delete", Id));
        AssertRefused(await runtime.RunAsync("state", Id), 1, "container does not exist");
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task What_the_host_changes_in_the_files_of_a_container_is_seen_in_it(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sh", "-c", Forever);
        var volume = System.IO.Directory.CreateDirectory($"{Directory}/volume").FullName;
        bundle.Write(["sh", "-c", Forever], spec => spec["mounts"]!.AsArray().Add(
            JsonNode.Parse($$"""{ "destination": "/etc", "type": "bind", "source": "{{volume}}", "options": ["bind"] }""")));
        AssertOk(await runtime.DetachAsync("run", "--detach", "--bundle", bundle.Path, Id));
        await ReadyAsync(bundle);
        foreach (var (host, guest) in ((string, string)[])[(volume, "/etc"), ($"{bundle.Rootfs}/tmp", "/tmp")])
        {
            for (var i = 0; i < 10; i++)
            {
                // Of the same length each time, in place and by rename; and a name that comes and one that goes.
                File.WriteAllText($"{host}/in-place", $"in place {i}\n");
                File.WriteAllText($"{host}/new", $"renamed {i}\n");
                File.Move($"{host}/new", $"{host}/by-rename", overwrite: true);
                File.Delete($"{host}/name-{i - 1}");
                File.WriteAllText($"{host}/name-{i}", "");
                var seen = await runtime.RunAsync("exec", Id, "sh", "-c", $"cd {guest}; cat in-place by-rename; ls");
                Assert.Equal($"in place {i}\nrenamed {i}\nby-rename\nin-place\nname-{i}", seen.Text);
            }
        }
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_copy_of_the_root_that_is_unmounted_is_gone(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sh", "-c", "mkdir /copy && mount --rbind / /copy && ls /copy/bin >/dev/null && busybox umount -l /copy && ls /copy && busybox rmdir /copy && ls /not-executable");
        var result = await runtime.RunAsync("run", "--bundle", bundle.Path, Id);
        Assert.True(result is { ExitCode: 0, Text: "/not-executable" }, result.ToString());
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_volume_of_two_containers_is_the_same_to_both(string name)
    {
        var runtime = Runtime(name);
        var volume = System.IO.Directory.CreateDirectory($"{Directory}/volume").FullName;
        File.WriteAllText($"{volume}/file", "");
        // As locks and mapped memory see it: device and number. Once more at another place, and of the volume that comes again.
        foreach (var member in (string[])["first", "second", "third"])
        {
            var bundle = Bundle();
            bundle.Write(["sleep", "1000"], spec =>
            {
                foreach (var place in (string[])["/tmp", "/etc"])
                    spec["mounts"]!.AsArray().Add(JsonNode.Parse($$"""{ "destination": "{{place}}", "type": "bind", "source": "{{volume}}", "options": ["rbind"] }"""));
                spec["annotations"] = new JsonObject
                {
                    ["io.kubernetes.cri.container-type"] = member == "first" ? "sandbox" : "container",
                    ["io.kubernetes.cri.sandbox-id"] = $"{Id}-first",
                };
            });
            AssertOk(await runtime.DetachAsync("run", "--detach", "--bundle", bundle.Path, $"{Id}-{member}"));
            if (member == "second")
                AssertOk(await runtime.RunAsync("delete", "--force", $"{Id}-{member}"));
        }
        var seen = new HashSet<string>();
        foreach (var member in (string[])["first", "third"])
        {
            var result = await runtime.RunAsync("exec", $"{Id}-{member}", "busybox", "stat", "-c", "%d %i", "/tmp/file", "/etc/file");
            AssertOk(result);
            seen.UnionWith(result.Text.Split('\n'));
        }
        Assert.Single(seen);
    }

    [SkippableFact]
    public async Task Debug_logs_the_steps_of_the_command_and_of_the_sandbox_process()
    {
        var runtime = Runtime("katalike");
        var bundle = Bundle("true").Path;
        var told = await runtime.RunAsync("--debug", "run", "--bundle", bundle, Id);
        Assert.True(told.ExitCode == 0 && told.Text.Length == 0, told.ToString());
        Assert.Matches("level=debug msg=\"katalike [^ ]+: run\"\n(.*\n)*.*level=debug msg=\"create answered\"", told.Error);

        AssertOk(await runtime.RunAsync("--debug", "--log", $"{Directory}/log", "run", "--bundle", bundle, Id));
        var lines = File.ReadAllLines($"{Directory}/log");
        foreach (var step in (string[])["create answered", "sandbox set up in the guest", "guest: container runs its program"])
            Assert.Contains(lines, line => line.EndsWith($" level=debug msg=\"{step}\"", StringComparison.Ordinal));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Exec_joins_the_container(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sh", "-c", Forever);
        AssertOk(await runtime.DetachAsync("run", "--detach", "--bundle", bundle.Path, Id));
        await ReadyAsync(bundle);

        var exec = await runtime.RunAsync("from stdin"u8.ToArray(), "exec", Id, "sh", "-c", "cat; echo err >&2; exit 3");
        Assert.True(exec is { ExitCode: 3, Text: "from stdin", Error: "err\n" }, exec.ToString());
        var options = await runtime.RunAsync("exec", "-e", "A=1", "-e", "B=2", "--cwd", "/tmp", "-u", "5:6", Id, "sh", "-c", "echo $A $B $PWD $(id -u) $(id -g)");
        Assert.True(options is { ExitCode: 0, Text: "1 2 /tmp 5 6" }, options.ToString());
        var capable = await runtime.RunAsync("exec", "--cap", "CAP_SYS_TIME", Id, "busybox", "grep", "-E", "^Cap(Inh|Prm)", "/proc/self/status");
        // Bit 25, in the permitted ones only.
        Assert.Matches("^CapInh:\t0{16}\nCapPrm:\t[0-9a-f]{9}[2367abef]", capable.Text);
        var signalled = await runtime.RunAsync("exec", Id, "sh", "-c", "kill -15 $$");
        Assert.True(signalled.ExitCode == 143, signalled.ToString());

        File.WriteAllText($"{Directory}/process.json", """{"cwd": "/", "args": ["sh", "-c", "echo from file"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}""");
        Assert.Equal("from file", (await runtime.RunAsync("exec", "--process", $"{Directory}/process.json", Id)).Text);

        AssertRefused(await runtime.RunAsync("exec", Id, "nosuch"), 255, "exec: \\\"nosuch\\\": executable file not found in $PATH");
        AssertRefused(await runtime.RunAsync("exec", Id, "/not-executable"), 255, "exec: \\\"/not-executable\\\": permission denied");
        AssertRefused(await runtime.RunAsync("exec", Id), 255, "process args cannot be empty");

        AssertOk(await runtime.DetachAsync("exec", "--detach", "--pid-file", $"{Directory}/pid", Id, "sleep", "1000"));
        Assert.True(System.IO.Directory.Exists($"/proc/{File.ReadAllText($"{Directory}/pid")}"));
        var table = (await runtime.RunAsync("ps", Id)).Text;
        Assert.Matches("^UID +PID +PPID +C +STIME +TTY +TIME +CMD\n", table);
        Assert.Contains("sleep 1000", table, StringComparison.Ordinal);
        AssertOk(await runtime.DetachAsync("exec", "--detach", Id, "sh", "-c", "sleep 1001; echo \u001b[31m"));
        table = (await runtime.RunAsync("ps", Id, "-e", "-x")).Text;
        Assert.Matches("^ *PID +TTY +STAT +TIME +COMMAND\n *[0-9]+ ", table);
        Assert.Matches(" [RSD][^ ]* +[0-9]+:[0-9]{2} +sh -c sleep 1001; echo .*\\[31m", table);
        Assert.DoesNotContain('\u001b', table);
        using var pids = JsonDocument.Parse((await runtime.RunAsync("ps", "--format", "json", Id)).Text);
        // The host's: a caller looks them up there, and recognizes an exec by the pid that it was told.
        var numbers = pids.RootElement.EnumerateArray().Select(pid => pid.GetInt32()).ToList();
        Assert.Contains(int.Parse(File.ReadAllText($"{Directory}/pid")), numbers);
        Assert.All(numbers, pid => Assert.True(System.IO.Directory.Exists($"/proc/{pid}")));
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Run_forwards_signals_and_waits_for_the_container(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sh", "-c", Forever);
        using var run = runtime.Start("run", "--bundle", bundle.Path, Id);
        await ReadyAsync(bundle);
        AssertOk(await Containerd.HostCommand.RunAsync("/bin/kill", ["-TERM", $"{run.Id}"]));
        await run.WaitForExitAsync();
        Assert.Equal(42, run.ExitCode);
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Killing_the_process_of_the_pid_file_ends_the_container(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sh", "-c", Forever);
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, "--pid-file", $"{Directory}/pid", Id));
        await ReadyAsync(bundle);
        AssertOk(await Containerd.HostCommand.RunAsync("/bin/kill", ["-KILL", File.ReadAllText($"{Directory}/pid")]));
        await StoppedAsync(runtime);
        AssertOk(await runtime.RunAsync("delete", Id));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_long_root_works(string name)
    {
        Runtime(name);
        var runtime = new OciRuntime(name, $"{Directory}/{new string('r', 180)}");
        var result = await runtime.RunAsync("run", "--bundle", Bundle("echo", "hello").Path, Id);
        Assert.True(result is { ExitCode: 0, Text: "hello" }, result.ToString());
    }

    [SkippableFact]
    public async Task Containers_of_a_pod_share_a_kernel_and_not_a_root()
    {
        var runtime = Runtime("katalike");
        var (pause, member) = ($"{Id}-pause", $"{Id}-member");
        var sandbox = PodBundle("sandbox", pause);
        var other = PodBundle("container", pause);
        var stranger = Bundle("cat", "/proc/sys/kernel/random/boot_id");
        File.WriteAllText($"{other.Rootfs}/mark", "member");

        AssertRefused(await runtime.RunAsync("run", "--bundle", other.Path, member), 1, $"sandbox {pause} is not running");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", sandbox.Path, pause));
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", other.Path, member));

        string[] bootId = ["cat", "/proc/sys/kernel/random/boot_id"];
        var first = (await runtime.RunAsync(["exec", pause, .. bootId])).Text;
        Assert.Equal(36, first.Length);
        Assert.Equal(first, (await runtime.RunAsync(["exec", member, .. bootId])).Text);
        Assert.NotEqual(first, (await runtime.RunAsync("run", "--bundle", stranger.Path, $"{Id}-stranger")).Text);
        Assert.Equal("member", (await runtime.RunAsync("exec", member, "cat", "/mark")).Text);
        Assert.NotEqual(0, (await runtime.RunAsync("exec", pause, "cat", "/mark")).ExitCode);

        AssertOk(await runtime.RunAsync("delete", "--force", member));
        Assert.Equal("running", (string?)(await StateAsync(runtime, pause))["status"]);
        AssertOk(await runtime.RunAsync("delete", "--force", pause));
    }

    private async Task<JsonNode> StateAsync(OciRuntime runtime, string? id = null)
    {
        var result = await runtime.RunAsync("state", id ?? Id);
        AssertOk(result);
        return JsonNode.Parse(result.Output)!;
    }

    /// <summary>The container's process has written its file, which the host sees in the root file system.</summary>
    private static Task ReadyAsync(TestBundle bundle) => Eventually.HoldsAsync(
        () => Task.FromResult(File.Exists($"{bundle.Rootfs}/ready")), "the container's process is ready");

    private Task StoppedAsync(OciRuntime runtime) => Eventually.HoldsAsync(
        async () => (string?)(await StateAsync(runtime))["status"] == "stopped", "the container has stopped");
}
