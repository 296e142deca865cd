using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>Whatever dies, the container is reported as stopped, delete --force works, and nothing stays.</summary>
public sealed class CrashTests : CommandLineCase
{
    [SkippableTheory]
    [InlineData("katalike sandbox", "the sandbox process was killed")]
    [InlineData("qemu-system", "qemu was killed by signal 9")]
    [InlineData("virtiofsd", "virtiofsd ended")]
    public async Task A_part_that_is_killed_takes_the_container_along_and_no_more(string victim, string reason)
    {
        var runtime = Runtime("katalike");
        AssertOk(await runtime.DetachAsync("--log", $"{Directory}/log", "run", "-d", "--bundle", Bundle("sleep", "1000").Path, "--pid-file", $"{Directory}/pid", Id));
        var stub = File.ReadAllText($"{Directory}/pid");
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-KILL", Find(victim)]));

        await Eventually.HoldsAsync(async () => (string?)JsonNode.Parse((await runtime.RunAsync("state", Id)).Output)!["status"] == "stopped", "the container is reported as stopped");
        await Eventually.HoldsAsync(() => Task.FromResult(!System.IO.Directory.Exists($"/proc/{stub}") || File.ReadAllText($"/proc/{stub}/stat").Contains(") Z ", StringComparison.Ordinal)), "the stub has ended");
        AssertRefused(await runtime.RunAsync("exec", Id, "true"), 255, "cannot exec in a stopped container");
        Assert.StartsWith(reason, (string?)JsonNode.Parse((await runtime.RunAsync("state", Id)).Output)!["reason"], StringComparison.Ordinal);
        if (victim != "katalike sandbox")
            Assert.Contains($"sandbox {Id} has ended: {reason}", File.ReadAllText($"{Directory}/log"), StringComparison.Ordinal);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task Who_waits_for_a_container_is_told_why_its_machine_was_lost()
    {
        var runtime = Runtime("katalike");
        using var run = runtime.Start("run", "--bundle", Bundle("sh", "-c", "echo up; sleep 1000").Path, Id);
        Assert.Equal("up", await run.StandardOutput.ReadLineAsync());
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-KILL", Find("qemu-system")]));
        Assert.Contains($"sandbox {Id} has ended: qemu was killed by signal 9", await run.StandardError.ReadToEndAsync(), StringComparison.Ordinal);
        await run.WaitForExitAsync();
        Assert.Equal(137, run.ExitCode);
    }

    [SkippableFact]
    public async Task Who_joins_a_sandbox_is_told_why_it_ended()
    {
        var runtime = Runtime("katalike");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", PodBundle("sandbox", Id).Path, Id));
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-KILL", Find("qemu-system")]));
        await Eventually.HoldsAsync(async () => (string?)JsonNode.Parse((await runtime.RunAsync("state", Id)).Output)!["status"] == "stopped", "the sandbox has ended");
        await Eventually.HoldsAsync(
            async () => (await runtime.RunAsync("run", "--bundle", PodBundle("container", Id).Path, $"{Id}-member")).Error
                .Contains($"sandbox {Id} is not running (qemu was killed by signal 9)", StringComparison.Ordinal),
            "the reason is told");
    }

    /// <summary>A busy host is no reason to take the other containers of the pod away.</summary>
    [SkippableFact]
    public async Task A_machine_that_stands_still_for_a_while_loses_no_container()
    {
        var (runtime, member) = await PodOfTwoAsync();
        var qemu = Find("qemu-system");
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-STOP", qemu]));
        var removal = runtime.RunAsync("delete", "--force", member);
        await Task.Delay(TimeSpan.FromSeconds(10));
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-CONT", qemu]));
        AssertOk(await removal);
        AssertOk(await runtime.RunAsync("exec", Id, "true"));
    }

    [SkippableFact]
    public async Task An_end_that_cannot_be_written_down_costs_no_other_container()
    {
        var (runtime, member) = await PodOfTwoAsync();
        System.IO.Directory.CreateDirectory($"{runtime.Root}/containers/{member}/exit.json.new");
        await KillAndDeleteAsync(runtime, member);
        AssertOk(await runtime.RunAsync("exec", Id, "true"));
    }

    [SkippableFact]
    public async Task An_exec_whose_output_nobody_reads_keeps_its_container_from_nothing()
    {
        var (runtime, member) = await PodOfTwoAsync();
        using var exec = runtime.Start("exec", member, "sh", "-c", "while :; do echo y; done");
        Assert.Equal("y", await exec.StandardOutput.ReadLineAsync());
        await KillAndDeleteAsync(runtime, member);
        AssertOk(await runtime.RunAsync("exec", Id, "true"));
        exec.Kill();
        await exec.WaitForExitAsync();
    }

    [SkippableFact]
    public async Task A_hung_sandbox_process_can_be_deleted()
    {
        var runtime = Runtime("katalike");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-STOP", Find("katalike sandbox")]));
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task A_caller_that_is_killed_leaves_what_delete_can_remove()
    {
        var runtime = Runtime("katalike");
        using (var create = runtime.Start("run", "--bundle", Bundle("sleep", "1000").Path, Id))
        {
            await Eventually.HoldsAsync(async () => (await runtime.RunAsync("list", "-q")).Text == Id, "the id is taken");
            create.Kill();
            await create.WaitForExitAsync();
        }
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    /// <summary>The sandbox's container has this case's id.</summary>
    private async Task<(OciRuntime Runtime, string Member)> PodOfTwoAsync()
    {
        var (runtime, member) = (Runtime("katalike"), $"{Id}-member");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", PodBundle("sandbox", Id).Path, Id));
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", PodBundle("container", Id).Path, member));
        return (runtime, member);
    }

    private static async Task KillAndDeleteAsync(OciRuntime runtime, string id)
    {
        AssertOk(await runtime.RunAsync("kill", id, "KILL"));
        await Eventually.HoldsAsync(async () => (string?)JsonNode.Parse((await runtime.RunAsync("state", id)).Output)!["status"] == "stopped", "the container is reported as stopped");
        AssertOk(await runtime.RunAsync("delete", id));
    }

    /// <summary>The pid of this case's process of that name.</summary>
    private string Find(string victim) => HostInventory.Take(Directory, Id).Items
        .Where(i => i.StartsWith("process ", StringComparison.Ordinal) && i.Contains(victim, StringComparison.Ordinal))
        .Select(i => i.Split(' ')[1]).First();
}
