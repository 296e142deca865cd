using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>Whatever dies, the container is reported as stopped, delete --force works, and nothing stays.</summary>
public sealed class CrashTests : CommandLineCase
{
    [SkippableTheory]
    [InlineData("katalike sandbox")]
    [InlineData("qemu-system")]
    [InlineData("virtiofsd")]
    public async Task A_part_that_is_killed_takes_the_container_along_and_no_more(string victim)
    {
        var runtime = Runtime("katalike");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", Bundle("sleep", "1000").Path, "--pid-file", $"{Directory}/pid", Id));
        var stub = File.ReadAllText($"{Directory}/pid");
        AssertOk(await HostCommand.RunAsync("/bin/kill", ["-KILL", Find(victim)]));

        await Eventually.HoldsAsync(async () => (string?)JsonNode.Parse((await runtime.RunAsync("state", Id)).Output)!["status"] == "stopped", "the container is reported as stopped");
        await Eventually.HoldsAsync(() => Task.FromResult(!System.IO.Directory.Exists($"/proc/{stub}") || File.ReadAllText($"/proc/{stub}/stat").Contains(") Z ", StringComparison.Ordinal)), "the stub has ended");
        AssertRefused(await runtime.RunAsync("exec", Id, "true"), 255, "cannot exec in a stopped container");
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
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

    /// <summary>The pid of this case's process of that name.</summary>
    private string Find(string victim) => HostInventory.Take(Directory, Id).Items
        .Where(i => i.StartsWith("process ", StringComparison.Ordinal) && i.Contains(victim, StringComparison.Ordinal))
        .Select(i => i.Split(' ')[1]).First();
}
