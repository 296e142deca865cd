using System.Globalization;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Network;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>Sandboxes that take a machine that waits for them.</summary>
public sealed class PoolTests : CommandLineCase
{
    private const string Identity = "cat /proc/sys/kernel/random/boot_id; dd if=/dev/urandom bs=32 count=1 2>/dev/null | sha256sum; cat /proc/sys/kernel/random/uuid; hostname; date +%s";

    [SkippableFact]
    public async Task Each_sandbox_gets_a_machine_of_its_own_and_another_takes_its_place()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 2);
        await pool.StartAsync();
        var seen = new HashSet<string>();
        var pids = new HashSet<int>();
        for (var i = 0; i < 4; i++)
        {
            var bundle = Bundle();
            File.CreateSymbolicLink($"{bundle.Rootfs}/bin/hostname", "busybox");
            bundle.Write(["sh", "-c", $"{Identity}; exec sleep 1000"], spec => spec["hostname"] = $"pod-{i}");
            var before = pool.Waiting;
            AssertOk(await runtime.DetachAsync("--config", pool.Configuration, "run", "-d", "--bundle", bundle.Path, $"{Id}-{i}"));
            Assert.True(pids.Add(SandboxPid(runtime, $"{Id}-{i}")));
            Assert.Contains(SandboxPid(runtime, $"{Id}-{i}"), before);
            var output = $"{runtime.Root}.out";
            await Eventually.HoldsAsync(async () => (await File.ReadAllLinesAsync(output)).Length == 5, "the container has told who it is");
            var lines = await File.ReadAllLinesAsync(output);
            Assert.All(lines[..3], line => Assert.True(seen.Add(line), $"twice: {line}"));
            Assert.Equal($"pod-{i}", lines[3]);
            Assert.InRange(long.Parse(lines[4], CultureInfo.InvariantCulture), DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 30, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 1);
            await pool.ReadyAsync();
        }
        Assert.Equal(2, pool.Waiting.Count);
        await pool.StopAsync();
        Assert.Empty(pool.Waiting);
        Assert.False(File.Exists(pool.Socket));
        for (var i = 0; i < 4; i++)
        {
            // Those that were taken have nothing to do with the pool any more.
            Assert.Equal($"pod-{i}", (await runtime.RunAsync("exec", $"{Id}-{i}", "busybox", "hostname")).Text);
            AssertOk(await runtime.RunAsync("delete", "--force", $"{Id}-{i}"));
        }
    }

    [SkippableFact]
    public async Task A_pool_that_is_killed_takes_along_what_waits_and_nothing_else()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();
        AssertOk(await runtime.DetachAsync("--config", pool.Configuration, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        Assert.True(MachinePool.IsOfOne(SandboxPid(runtime, Id)));
        await pool.ReadyAsync();
        var waiting = Assert.Single(pool.Waiting);
        await pool.KillAsync();
        await Eventually.HoldsAsync(() => Task.FromResult(!System.IO.Directory.Exists($"/proc/{waiting}")), "what waited has ended");
        Assert.Empty(pool.Waiting);
        AssertOk(await runtime.RunAsync("exec", Id, "true"));

        // Nobody answers on its socket, which is still there.
        Assert.True(File.Exists(pool.Socket));
        AssertOk(await runtime.DetachAsync("--config", pool.Configuration, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, $"{Id}-2"));
        Assert.False(MachinePool.IsOfOne(SandboxPid(runtime, $"{Id}-2")));
        await pool.StartAsync();
        AssertOk(await runtime.DetachAsync("--config", pool.Configuration, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, $"{Id}-3"));
        Assert.True(MachinePool.IsOfOne(SandboxPid(runtime, $"{Id}-3")));
        foreach (var id in (string[])[Id, $"{Id}-2", $"{Id}-3"])
            AssertOk(await runtime.RunAsync("delete", "--force", id));
    }

    [SkippableFact]
    public async Task A_machine_that_ends_while_it_waits_is_replaced()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();
        var waiting = Assert.Single(pool.Waiting);
        await HostCommand.RunAsync("kill", ["-KILL", $"{pool.MachineOf(waiting)}"]);
        await pool.ReadyAsync();
        Assert.NotEqual(waiting, Assert.Single(pool.Waiting));
        AssertOk(await runtime.RunAsync("--config", pool.Configuration, "run", "--bundle", Bundle("true").Path, Id));
    }

    [SkippableFact]
    public async Task A_sandbox_that_needs_another_machine_starts_its_own()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();
        var bundle = Bundle();
        bundle.Write(["cat", "/proc/uptime"], spec => spec["annotations"] = new JsonObject { ["katalike.io/template"] = "false" });
        var booted = await runtime.RunAsync("--config", pool.Configuration, "run", "--bundle", bundle.Path, Id);
        AssertOk(booted);
        Assert.True(double.Parse(booted.Text.Split(' ')[0], CultureInfo.InvariantCulture) < 12, booted.Text);

        // Larger by memory it grows; with more processors it is another machine under emulation.
        await pool.ReadyAsync();
        bundle.Write(["sh", "-c", "grep MemTotal /proc/meminfo; grep -c ^processor /proc/cpuinfo"], spec =>
            spec["linux"]!["resources"] = JsonNode.Parse("""{"memory": {"limit": 1073741824}, "cpu": {"quota": 200000, "period": 100000}}"""));
        var large = await runtime.RunAsync("--config", pool.Configuration, "run", "--bundle", bundle.Path, Id);
        AssertOk(large);
        Assert.True(long.Parse(large.Text.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) > 1 << 20, large.Text);
        Assert.EndsWith($"\n{Math.Min(2, Environment.ProcessorCount)}", large.Text, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_machine_that_waited_is_in_the_network_of_its_sandbox()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();
        await using var node = await NetworkNode.MakeAsync(Directory);
        var pod = await node.AddPodAsync();
        var bundle = Bundle();
        bundle.Write(["sleep", "1000"], spec =>
        {
            foreach (var (_, set) in spec["process"]!["capabilities"]!.AsObject())
                set!.AsArray().Add("CAP_NET_RAW");
            spec["linux"]!["namespaces"]!.AsArray().First(entry => (string?)entry!["type"] == "network")!["path"] = pod.Namespace.Path;
        });
        AssertOk(await runtime.DetachAsync("--config", pool.Configuration, "run", "-d", "--bundle", bundle.Path, Id));
        Assert.True(MachinePool.IsOfOne(SandboxPid(runtime, Id)));
        AssertOk(await runtime.RunAsync("exec", Id, "busybox", "ping", "-c", "1", "-W", "5", "10.85.0.1"));
        var state = JsonNode.Parse((await runtime.RunAsync("state", Id)).Text)!;
        Assert.Equal(File.ResolveLinkTarget(pod.Namespace.Path, false)!.Name, File.ResolveLinkTarget($"/proc/{state["pid"]}/ns/net", false)!.Name);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task A_caller_that_sees_other_files_gets_no_machine_of_the_pool()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();
        var waiting = pool.Waiting;
        AssertOk(await HostCommand.RunAsync(
            "unshare", ["--mount", runtime.Program, "--root", runtime.Root, "--config", pool.Configuration, "run", "--bundle", Bundle("true").Path, Id]));
        Assert.Equal(waiting, pool.Waiting);
        AssertOk(await runtime.RunAsync("--config", pool.Configuration, "run", "--bundle", Bundle("true").Path, Id));
        Assert.DoesNotContain(Assert.Single(waiting), pool.Waiting);
    }

    [SkippableFact]
    public async Task A_pool_on_another_file_system_is_told_and_not_used()
    {
        var runtime = Runtime("katalike");
        var place = $"/dev/shm/{Id}";
        Skip.If(new DriveInfo(Directory).DriveFormat == new DriveInfo("/dev/shm").DriveFormat, "/dev/shm is on no file system of its own");
        await using (var pool = new MachinePool($"{Directory}/pool.toml", place, 1))
        {
            await pool.StartAsync();
            var log = $"{Directory}/log";
            AssertOk(await runtime.RunAsync("--config", pool.Configuration, "--log", log, "run", "--bundle", Bundle("true").Path, Id));
            Assert.Contains($"no machine of the pool can be used: {place}/members/", await File.ReadAllTextAsync(log), StringComparison.Ordinal);
            await pool.StopAsync();
        }
        System.IO.Directory.Delete(place, recursive: true);
    }

    [SkippableFact]
    public async Task One_process_keeps_a_pool_and_its_size_must_be_said()
    {
        var runtime = Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();
        AssertRefused(await runtime.RunAsync("--config", pool.Configuration, "pool"), 1, "pool: another process keeps the one in");
        await File.WriteAllTextAsync($"{Directory}/none.toml", "");
        AssertRefused(await runtime.RunAsync("--config", $"{Directory}/none.toml", "pool"), 1, "size is 0 in section [pool] of");
        await File.WriteAllTextAsync($"{Directory}/other.toml", "[pool]\nsize = 1\n[hypervisor]\nmachine = \"microvm\"\n");
        AssertRefused(await runtime.RunAsync("--config", $"{Directory}/other.toml", "pool"), 1, "no pool for this configuration: it needs machine");
    }

    private static int SandboxPid(OciRuntime runtime, string id) =>
        (int)JsonNode.Parse(File.ReadAllText($"{runtime.Root}/sandboxes/{id}/sandbox.json"))!["pid"]!;
}
