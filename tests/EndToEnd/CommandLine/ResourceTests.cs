using System.Text;
using System.Text.Json.Nodes;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>update and events.</summary>
public sealed class ResourceTests : CommandLineCase
{
    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Limits_change_by_flags_and_by_file_and_events_tell_them(string name)
    {
        var runtime = Runtime(name);
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        AssertOk(await runtime.RunAsync("update", "--memory", "64m", "--pids-limit", "33", Id));
        var stats = await StatsAsync(runtime);
        Assert.Equal((64L << 20, 33), ((long)stats["memory"]!["usage"]!["limit"]!, (int)stats["pids"]!["limit"]!));
        AssertOk(await runtime.RunAsync(Encoding.UTF8.GetBytes("""{"memory": {"limit": 50331648}, "pids": {"limit": 44}}"""), "update", "-r", "-", Id));
        stats = await StatsAsync(runtime);
        Assert.Equal((48L << 20, 44), ((long)stats["memory"]!["usage"]!["limit"]!, (int)stats["pids"]!["limit"]!));
        Assert.True((long)stats["cpu"]!["usage"]!["total"]! > 0 && (long)stats["memory"]!["usage"]!["usage"]! > 0);

        AssertRefused(await runtime.RunAsync("update", "--memory", "much", Id), 1, "invalid value for memory: invalid size: 'much'");
        AssertRefused(await runtime.RunAsync("update", "--cpu-period", "long", Id), 1, "invalid value for cpu-period: strconv.ParseUint: parsing");
        AssertRefused(await runtime.RunAsync("events", "--interval", "0s", Id), 1, "duration interval must be greater than 0");
        AssertRefused(await runtime.RunAsync("events", "--interval", "soon", Id), 1, "invalid value \\\"soon\\\" for flag -interval: parse error");

        AssertOk(await runtime.RunAsync("kill", Id, "KILL"));
        await Eventually.HoldsAsync(async () => (await runtime.RunAsync("state", Id)).Text.Contains("\"stopped\"", StringComparison.Ordinal), "the container has stopped");
        AssertRefused(await runtime.RunAsync("events", "--stats", Id), 1, $"container with id {Id} is not running");
        AssertRefused(await runtime.RunAsync("update", "--memory", "64m", Id), 1, "container not running");
        AssertOk(await runtime.RunAsync("kill", "--all", Id, "KILL"));
    }

    [SkippableFact]
    public async Task Events_tell_kills_for_memory_until_the_container_ends()
    {
        var runtime = Runtime("katalike");
        var bundle = Bundle();
        bundle.Write(["sh", "-c", "while ! test -e /go; do sleep 0.1; done; sh -c 'tail /dev/zero'; sleep 1; exit 0"], spec =>
            spec["linux"]!["resources"] = JsonNode.Parse("""{"memory": {"limit": 33554432}}"""));
        File.CreateSymbolicLink($"{bundle.Rootfs}/bin/tail", "busybox");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));
        using var events = runtime.Start("events", "--interval", "200ms", Id);
        var first = JsonNode.Parse((await events.StandardOutput.ReadLineAsync())!)!;
        Assert.Equal(("stats", Id), ((string?)first["type"], (string?)first["id"]));
        await File.WriteAllTextAsync($"{bundle.Rootfs}/go", "");
        var rest = await events.StandardOutput.ReadToEndAsync();
        await events.WaitForExitAsync();
        Assert.Equal(0, events.ExitCode);
        Assert.Contains($"{{\"type\":\"oom\",\"id\":\"{Id}\"}}\n", rest, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task The_machine_grows_and_shrinks_with_its_containers_limits()
    {
        Skip.IfNot(Environment.ProcessorCount > 1, "this host has one processor: a machine cannot have two");
        var runtime = Runtime("katalike");
        var config = $"{Directory}/config.toml";
        await File.WriteAllTextAsync(config, "[hypervisor]\nmemory_mib = 256\n");
        AssertOk(await runtime.DetachAsync("--config", config, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        var (processors, memory) = await MachineAsync(runtime);
        Assert.Equal((1, true), (processors, memory < 256));

        AssertOk(await runtime.RunAsync("update", "--memory", "1g", "--cpu-quota", "150000", "--cpu-period", "100000", Id));
        var grown = await MachineAsync(runtime);
        Assert.Equal((2, memory + 1024), grown);

        AssertOk(await runtime.RunAsync("update", "--memory", "64m", "--cpu-quota", "50000", Id));
        Assert.Equal(1, (await MachineAsync(runtime)).Processors);
        await Eventually.HoldsAsync(async () => (await MachineAsync(runtime)).Memory < memory + 128, "the guest has given memory back");
    }

    [SkippableFact]
    public async Task Processors_of_the_host_that_the_guest_has_not_are_given_by_number_only()
    {
        Skip.IfNot(Environment.ProcessorCount > 1, "this host has one processor: a machine cannot have two");
        var runtime = Runtime("katalike");
        var bundle = Bundle();
        bundle.Write(["sleep", "1000"], spec => spec["linux"]!["resources"] = JsonNode.Parse("""{"cpu": {"cpus": "40-41", "mems": "1", "shares": 2048}}"""));
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));
        Assert.Equal(2, (await MachineAsync(runtime)).Processors);
        AssertOk(await runtime.RunAsync("update", "--cpuset-cpus", "1", "--cpuset-mems", "0", Id));
        Assert.Equal(1, (await MachineAsync(runtime)).Processors);
        AssertOk(await runtime.RunAsync("update", "--cpuset-cpus", "1,70", "--cpuset-mems", "0-1", Id));
        Assert.Equal(2, (await MachineAsync(runtime)).Processors);
    }

    /// <summary>What the guest has now; memory in MiB.</summary>
    private async Task<(int Processors, long Memory)> MachineAsync(OciRuntime runtime)
    {
        var result = await runtime.RunAsync("exec", Id, "sh", "-c", "nproc; grep MemTotal /proc/meminfo");
        AssertOk(result);
        var words = result.Text.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        return (int.Parse(words[0]), long.Parse(words[2]) >> 10);
    }

    private async Task<JsonNode> StatsAsync(OciRuntime runtime)
    {
        var result = await runtime.RunAsync("events", "--stats", Id);
        AssertOk(result);
        var line = JsonNode.Parse(result.Text)!;
        Assert.Equal(("stats", Id), ((string?)line["type"], (string?)line["id"]));
        return line["data"]!;
    }
}
