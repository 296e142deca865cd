using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;

namespace KataLike.Guest.Tests;

[Collection("machine")]
public sealed class LimitTests(GuestMachine machine)
{
    [SkippableFact]
    public Task A_process_over_its_memory_limit_is_killed_and_reported() => machine.RunAsync(async () =>
    {
        var spec = Limited(
            "exec dd if=/dev/zero of=/dev/null bs=64M count=1", new Resources { Memory = new MemoryLimits { Limit = 16 << 20 } });
        var told = machine.Agent.NextEventAsync(new NextEventRequest());
        await using var container = await GuestContainer.StartAsync(machine, spec);
        var end = await container.WaitAsync();
        Assert.Equal((137u, true), (end.ExitStatus, end.OomKilled));
        Assert.Equal(container.Id, (await told).OutOfMemory);
    });

    [SkippableFact]
    public Task A_fork_bomb_stops_at_the_limit() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(
            machine, Limited("for i in $(seq 50); do sleep 1000 & done; cat", new Resources { Pids = new PidsLimits { Limit = 16 } }));
        Assert.Contains("can't fork", System.Text.Encoding.UTF8.GetString(await container.Streams.Error), StringComparison.Ordinal);
        var stats = await machine.Agent.StatsAsync(new StatsRequest { Id = container.Id });
        Assert.Equal(16ul, stats.Pids.Max);
    });

    [SkippableFact]
    public Task A_quota_shows_in_the_container_and_can_be_changed() => machine.RunAsync(async () =>
    {
        var resources = new Resources { Cpu = new CpuLimits { Quota = 20_000, Period = 100_000 } };
        await using var container = await GuestContainer.StartAsync(machine, Limited("cat", resources));
        Assert.Equal("20000 100000\n", await container.ExecTextAsync("before", "cat /sys/fs/cgroup/cpu.max"));
        await machine.Agent.UpdateAsync(new UpdateRequest
        {
            Id = container.Id,
            Resources = Google.Protobuf.ByteString.CopyFromUtf8("""{"cpu":{"quota":50000,"period":100000}}"""),
        });
        Assert.Equal("50000 100000\n", await container.ExecTextAsync("after", "cat /sys/fs/cgroup/cpu.max"));
    });

    [SkippableFact]
    public Task Signals_end_processes_and_are_told_as_such() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        using var exec = await container.ExecAsync("sleep", GuestContainer.Process("") with { Args = ["/bin/sleep", "1000"] });
        var processes = await machine.Agent.ProcessesAsync(new ProcessesRequest { Id = container.Id });
        Assert.Contains(processes.Processes, process => process.ExecId == "sleep" && process.Arguments is ["/bin/sleep", "1000"]);
        await container.SignalAsync(15, "sleep");
        Assert.Equal(143u, (await container.WaitAsync("sleep")).ExitStatus);
        await container.SignalAsync(9);
        var end = await container.WaitAsync();
        Assert.Equal((137u, false), (end.ExitStatus, end.OomKilled));
    });

    [SkippableFact]
    public Task A_paused_container_takes_no_process_until_it_resumes() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        await machine.Agent.PauseAsync(new PauseRequest { Id = container.Id });
        var refused = await Assert.ThrowsAsync<TtrpcException>(() => container.ExecAsync("early", GuestContainer.Process("true")));
        Assert.Equal("cannot exec in a paused container", refused.Message);
        await machine.Agent.ResumeAsync(new ResumeRequest { Id = container.Id });
        Assert.Equal("awake\n", await container.ExecTextAsync("late", "echo awake"));
    });

    [SkippableFact]
    public Task A_command_that_is_not_there_is_named() => machine.RunAsync(async () =>
    {
        var spec = GuestContainer.Spec("");
        var failed = await Assert.ThrowsAsync<TtrpcException>(() => GuestContainer.CreateAsync(
            machine, spec with { Process = spec.Process! with { Args = ["no-such-program"] } }));
        Assert.Equal("unable to start container process: exec: \"no-such-program\": executable file not found in $PATH", failed.Message);
    });

    private static Spec Limited(string command, Resources resources)
    {
        var spec = GuestContainer.Spec(command);
        return spec with { Linux = spec.Linux! with { Resources = resources } };
    }
}

/// <summary>Has a machine of its own, which it ends.</summary>
public sealed class ShutdownTests(GuestMachine machine) : IClassFixture<GuestMachine>
{
    [SkippableFact]
    public Task Shutdown_switches_the_machine_off() => machine.RunAsync(async () =>
    {
        await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        await machine.Agent.ShutdownAsync(new ShutdownRequest());
        Assert.Equal("the machine was switched off", await machine.Ended);
    });
}
