using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Network;

namespace KataLike.EndToEnd.Tests.Containerd;

/// <summary>Containers through containerd and ctr; each case runs with runc too, so that the case itself is tested.</summary>
public sealed class ContainerdTests(ContainerdDaemon containerd) : IClassFixture<ContainerdDaemon>
{
    private const string KataLike = "io.containerd.katalike.v2";
    private const string Runc = "io.containerd.runc.v2";

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    [InlineData(ContainerdDaemon.RuncShim)]
    public async Task Output_and_exit_code_are_the_containers(string runtime)
    {
        Require();
        var id = NewId();
        var echo = await containerd.RunAsync(runtime, id, ["--rm"], ["echo", "hello"]);
        Assert.True(echo is { ExitCode: 0, Text: "hello" }, Explain(echo));

        var exit = await containerd.RunAsync(runtime, id, ["--rm"], ["sh", "-c", "echo out; echo err >&2; exit 7"]);
        Assert.True(exit is { ExitCode: 7, Text: "out" } && exit.Error.Contains("err", StringComparison.Ordinal), Explain(exit));
        await AssertNothingLeftAsync(id);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    [InlineData(ContainerdDaemon.RuncShim)]
    public async Task Cat_copies_64_MiB_unharmed(string runtime)
    {
        Require();
        var id = NewId();
        var input = new byte[64 << 20];
        new Random(42).NextBytes(input);

        var cat = await containerd.RunAsync(runtime, id, ["--rm"], ["cat"], input);

        Assert.True(cat.ExitCode == 0, $"exit code {cat.ExitCode}: {cat.Error}");
        Assert.Equal(input.Length, cat.Output.Length);
        Assert.Equal(SHA256.HashData(input), SHA256.HashData(cat.Output));
        await AssertNothingLeftAsync(id);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    [InlineData(ContainerdDaemon.RuncShim)]
    public async Task A_terminal_is_a_terminal(string runtime)
    {
        Require();
        var id = NewId();
        var run = await containerd.CtrOnTerminalAsync([
            "run", "--rm", "-t", "--snapshotter", "native", .. ContainerdDaemon.Runtime(runtime), ContainerdDaemon.Image, id, "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tty && exit 5"]);

        Assert.True(run.ExitCode == 5 && run.Text.Contains("/dev/", StringComparison.Ordinal), Explain(run));
        await AssertNothingLeftAsync(id);
    }

    [SkippableFact]
    public async Task A_machine_of_the_pool_is_where_one_of_its_own_would_be()
    {
        Require();
        var directory = $"/run/katalike/pool-{Guid.NewGuid():n}";
        Directory.CreateDirectory(directory);
        await using (var pool = MachinePool.In(directory, 1))
        await using (var network = await PodNamespace.MakeAsync())
        {
            await pool.StartAsync();
            var (id, waiting) = (NewId(), Assert.Single(pool.Waiting));
            var machine = pool.MachineOf(waiting);
            Assert.DoesNotContain(machine, containerd.Processes());

            var run = await containerd.RunAsync(
                KataLike, id, ["-d", "--runtime-config-path", pool.Configuration, "--with-ns", $"network:{network.Path}"], ["sleep", "1000"]);

            Assert.True(run.ExitCode == 0, Explain(run));
            // The cgroup, and the namespace of the pid that containerd was told, are those that a process started by the shim would have.
            Assert.Contains(waiting, containerd.Processes());
            Assert.Contains(machine, containerd.Processes());
            Assert.Equal(2, containerd.Processes("virtiofsd").Count);
            var pid = (await containerd.CtrAsync("task", "ls")).Text.Split('\n').Single(line => line.StartsWith(id, StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
            Assert.Equal(File.ResolveLinkTarget(network.Path, false)!.Name, File.ResolveLinkTarget($"/proc/{pid}/ns/net", false)!.Name);
            Assert.True((await containerd.CtrAsync("task", "exec", "--exec-id", "e", id, "true")).ExitCode == 0);
            await containerd.CtrAsync("task", "kill", "-s", "KILL", id);
            await ContainerdDaemon.UntilAsync("the task is deleted", async () => (await containerd.CtrAsync("task", "rm", id)).ExitCode == 0);
            await containerd.CtrAsync("container", "rm", id);
            await AssertNothingLeftAsync(id);
        }
        Directory.Delete(directory, recursive: true);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    public async Task A_logging_binary_gets_the_output_of_containers_and_execs(string runtime)
    {
        Require();
        var (id, directory) = (NewId(), Directory.CreateTempSubdirectory("katalike-logs-").FullName);
        await File.WriteAllTextAsync($"{directory}/logger", """
            #!/bin/sh
            to=$2/$CONTAINER_NAMESPACE-$CONTAINER_ID
            cat <&4 3<&- 5>&- > "$to.err" &
            exec 5>&- 4<&-
            cat <&3 > "$to.out"
            wait
            """);
        File.SetUnixFileMode($"{directory}/logger", UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var uri = $"binary://{directory}/logger?--to={directory}";

        var run = await containerd.RunAsync(runtime, id, ["-d", "--log-uri", uri], ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]);
        Assert.True(run.ExitCode == 0, Explain(run));
        var exec = await containerd.CtrAsync("task", "exec", "--log-uri", uri, "--exec-id", "one", id, "sh", "-c", "echo two; exit 3");
        Assert.True(exec.ExitCode == 3, Explain(exec));
        await RemoveAsync(id);
        foreach (var (file, text) in (IEnumerable<(string, string)>)[($"{id}.out", "out\n"), ($"{id}.err", "err\n"), ("one.out", "two\n"), ("one.err", "")])
            Assert.Equal(text, await File.ReadAllTextAsync($"{directory}/{containerd.Namespace}-{file}"));
        await AssertNothingLeftAsync(id);
        Directory.Delete(directory, recursive: true);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    public async Task A_running_container_is_listed_entered_measured_and_killed(string runtime)
    {
        Require();
        var id = NewId();
        var started = await containerd.RunAsync(runtime, id, ["-d"], ["sleep", "1000"]);
        Assert.True(started.ExitCode == 0, Explain(started));
        await AssertStatusAsync(id, "RUNNING");

        var exec = await containerd.CtrAsync("from stdin"u8.ToArray(), "task", "exec", "--exec-id", "one", id, "sh", "-c", "cat; hostname >&2; exit 3");
        Assert.True(exec is { ExitCode: 3, Text: "from stdin" }, Explain(exec));

        // The same exec id again: the first one has been deleted.
        var again = await containerd.CtrAsync("task", "exec", "--exec-id", "one", id, "true");
        Assert.True(again.ExitCode == 0, Explain(again));

        var missing = await containerd.CtrAsync("task", "exec", "--exec-id", "two", id, "/no/such/program");
        Assert.True(missing.ExitCode != 0 && missing.Error.Contains("no such file or directory", StringComparison.Ordinal), Explain(missing));

        var processes = await containerd.CtrAsync("task", "ps", id);
        Assert.True(processes.Text.Split('\n').Length == 2, Explain(processes));

        var metrics = await containerd.CtrAsync("task", "metrics", id);
        Assert.True(metrics.Text.Contains("memory.usage", StringComparison.Ordinal) && metrics.Text.Contains("pids.current", StringComparison.Ordinal), Explain(metrics));

        var refused = await containerd.CtrAsync("task", "rm", id);
        Assert.True(refused.ExitCode != 0, Explain(refused));

        var killed = await containerd.CtrAsync("task", "kill", "-s", "SIGKILL", id);
        Assert.True(killed.ExitCode == 0, Explain(killed));
        await AssertStatusAsync(id, "STOPPED");
        var removed = await containerd.CtrAsync("task", "rm", id);
        Assert.True(removed.Error.Contains("137", StringComparison.Ordinal), Explain(removed));
        await containerd.CtrAsync("container", "rm", id);
        await AssertNothingLeftAsync(id);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    [InlineData(ContainerdDaemon.RuncShim)]
    public async Task A_program_that_does_not_exist_is_said_so(string runtime)
    {
        Require();
        var id = NewId();
        var run = await containerd.RunAsync(runtime, id, ["--rm"], ["nosuch"]);

        Assert.True(run.ExitCode != 0 && run.Error.Contains("executable file not found in $PATH", StringComparison.Ordinal), Explain(run));
        await AssertNothingLeftAsync(id);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    [InlineData(ContainerdDaemon.RuncShim)]
    public async Task Hooks_of_the_host_run_once_each(string runtime)
    {
        Require();
        var (id, directory) = (NewId(), Directory.CreateTempSubdirectory("katalike-hooks-").FullName);
        string[] lists = ["prestart", "createRuntime", "poststart", "poststop"];
        var bundle = new CommandLine.TestBundle($"{directory}/bundle");
        bundle.Write(["sh", "-c", "exit 6"], spec =>
        {
            spec["root"]!["path"] = bundle.Rootfs;
            spec["hooks"] = new JsonObject(lists.Select(list => KeyValuePair.Create<string, JsonNode?>(list, new JsonArray(new JsonObject
            {
                ["path"] = "/bin/sh",
                ["args"] = new JsonArray("sh", "-c", $"grep -q {id} && echo {list} >> {directory}/order"),
                ["env"] = new JsonArray("PATH=/bin:/usr/bin"),
            }))));
        });
        var run = await containerd.CtrAsync(["run", "--rm", .. ContainerdDaemon.Runtime(runtime), "--config", $"{bundle.Path}/config.json", id]);
        Assert.True(run.ExitCode == 6, Explain(run));
        Assert.Equal(lists, await File.ReadAllLinesAsync($"{directory}/order"));
        await AssertNothingLeftAsync(id);
        Directory.Delete(directory, recursive: true);
    }

    [SkippableTheory]
    [InlineData(KataLike)]
    [InlineData(Runc)]
    public async Task Twenty_containers_one_after_another_leave_nothing(string runtime)
    {
        Require();
        var ids = Enumerable.Range(0, 20).Select(_ => NewId()).ToArray();
        foreach (var id in ids)
        {
            var run = await containerd.RunAsync(runtime, id, ["--rm"], ["echo", id]);
            Assert.True(run.ExitCode == 0 && run.Text == id, Explain(run));
        }
        await AssertNothingLeftAsync(ids);
    }

    [SkippableFact]
    public async Task Containers_of_a_group_share_a_machine_and_others_do_not()
    {
        Require();
        var (pod, member, stranger) = (NewId(), NewId(), NewId());
        string[] grouped = ["-d", "--annotation", $"io.kubernetes.cri.sandbox-id={pod}"];
        string[] command = ["sh", "-c", "touch /mine-$0; sleep 1000"];
        foreach (var (id, options) in (IEnumerable<(string, string[])>)[(pod, grouped), (member, grouped), (stranger, ["-d"])])
        {
            var started = await containerd.RunAsync(KataLike, id, options, [.. command, id]);
            Assert.True(started.ExitCode == 0, Explain(started));
        }

        var boots = new Dictionary<string, string>();
        foreach (var id in (string[])[pod, member, stranger])
        {
            var read = await containerd.CtrAsync("task", "exec", "--exec-id", "read", id, "sh", "-c", $"cat /proc/sys/kernel/random/boot_id; ls /mine-{id}; ls /");
            Assert.True(read.ExitCode == 0, Explain(read));
            boots[id] = read.Text.Split('\n')[0];
            Assert.DoesNotContain(read.Text.Split('\n'), line => line.StartsWith("mine-", StringComparison.Ordinal) && line != $"mine-{id}");
        }
        Assert.Equal(boots[pod], boots[member]);
        Assert.NotEqual(boots[pod], boots[stranger]);
        Assert.NotEqual((await File.ReadAllTextAsync("/proc/sys/kernel/random/boot_id")).Trim(), boots[pod]);

        foreach (var id in (string[])[member, pod, stranger])
            await RemoveAsync(id);
        await AssertNothingLeftAsync(pod, member, stranger);
    }

    [SkippableFact]
    public async Task A_killed_machine_leaves_a_stopped_task_that_can_be_removed()
    {
        Require();
        var id = NewId();
        await StartSleepingAsync(id);
        var machine = Assert.Single(containerd.Processes("qemu-system"));

        await HostCommand.RunAsync("kill", ["-9", $"{machine}"]);

        await AssertStatusAsync(id, "STOPPED");
        var removed = await containerd.CtrAsync("task", "rm", id);
        Assert.True(removed.Error.Contains("137", StringComparison.Ordinal), Explain(removed));
        await containerd.CtrAsync("container", "rm", id);
        await AssertNothingLeftAsync(id);
    }

    [SkippableFact]
    public async Task A_killed_shim_takes_everything_with_it()
    {
        Require();
        var id = NewId();
        await StartSleepingAsync(id);
        var shim = Assert.Single(containerd.Processes("sandbox", "--door", id));

        await HostCommand.RunAsync("kill", ["-9", $"{shim}"]);

        await ContainerdDaemon.UntilAsync("the task is gone", async () => !(await containerd.CtrAsync("task", "ls")).Text.Contains($"{id} ", StringComparison.Ordinal));
        var removed = await containerd.CtrAsync("container", "rm", id);
        Assert.True(removed.ExitCode == 0, Explain(removed));
        await AssertNothingLeftAsync(id);
    }

    [SkippableFact]
    public async Task A_container_outlives_a_restart_of_containerd()
    {
        Require();
        var id = NewId();
        await StartSleepingAsync(id);

        await containerd.StopAsync();
        containerd.Start();
        await ContainerdDaemon.UntilAsync("containerd answers", async () => (await containerd.CtrAsync("version")).ExitCode == 0);

        await AssertStatusAsync(id, "RUNNING");
        var exec = await containerd.CtrAsync("task", "exec", "--exec-id", "one", id, "echo", "alive");
        Assert.True(exec.Text == "alive", Explain(exec));
        await RemoveAsync(id);
        await AssertNothingLeftAsync(id);
    }

    private void Require() => Skip.If(containerd.Missing is not null, containerd.Missing);

    private static string NewId() => $"kl-{Guid.NewGuid():N}"[..12];

    private async Task StartSleepingAsync(string id)
    {
        var started = await containerd.RunAsync(KataLike, id, ["-d"], ["sleep", "1000"]);
        Assert.True(started.ExitCode == 0, Explain(started));
    }

    private async Task RemoveAsync(string id)
    {
        await containerd.CtrAsync("task", "kill", "-s", "SIGKILL", id);
        await AssertStatusAsync(id, "STOPPED");
        await containerd.CtrAsync("task", "rm", id);
        var removed = await containerd.CtrAsync("container", "rm", id);
        Assert.True(removed.ExitCode == 0, Explain(removed));
    }

    private Task AssertStatusAsync(string id, string status) => ContainerdDaemon.UntilAsync($"{id} is {status}", async () =>
        (await containerd.CtrAsync("task", "ls")).Text.Split('\n').Any(line =>
            line.StartsWith(id, StringComparison.Ordinal) && line.Contains(status, StringComparison.Ordinal)));

    /// <summary>Processes may take a moment to end after ctr has returned.</summary>
    private async Task AssertNothingLeftAsync(params string[] ids)
    {
        try
        {
            await ContainerdDaemon.UntilAsync("nothing is left", () => Task.FromResult(containerd.Leftovers(ids).Count == 0));
        }
        catch (TimeoutException)
        {
            Assert.Empty(containerd.Leftovers(ids));
        }
    }

    private string Explain(CommandResult result) => $"{result}\ncontainerd: {string.Join('\n', containerd.Log.Split('\n').TakeLast(20))}";
}
