using System.Globalization;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;

namespace KataLike.Guest.Tests;

[CollectionDefinition("machine")]
public sealed class MachineCollection : ICollectionFixture<GuestMachine>;

[Collection("machine")]
public sealed class SandboxTests(GuestMachine machine)
{
    [SkippableFact]
    public Task Two_containers_share_a_kernel_and_not_a_root() => machine.RunAsync(async () =>
    {
        Assert.True(Guid.TryParse(machine.SetUp.BootId, out _));
        Assert.StartsWith("6.", machine.SetUp.KernelRelease, StringComparison.Ordinal);

        const string command = "cat /proc/sys/kernel/random/boot_id /name";
        await using var a = await GuestContainer.StartAsync(machine, GuestContainer.Spec(command), "a");
        await using var b = await GuestContainer.StartAsync(machine, GuestContainer.Spec(command), "b");
        Assert.Equal(machine.SetUp.BootId + "\na", await a.Streams.Text);
        Assert.Equal(machine.SetUp.BootId + "\nb", await b.Streams.Text);
    });

    [SkippableFact]
    public Task The_agent_dials_again_when_its_connection_has_ended() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat; exit 5"));
        await machine.ReconnectAsync();

        container.Streams.Write("still here");
        container.Streams.Input.Dispose();
        Assert.Equal(5u, (await container.WaitAsync()).ExitStatus);
        Assert.Equal("still here", await container.Streams.Text);
    });

    [SkippableFact]
    public Task Orphans_are_reaped() => machine.RunAsync(async () =>
    {
        // Without a pid namespace of its own, what it leaves behind becomes the agent's.
        var spec = GuestContainer.Spec("for i in $(seq 200); do (true &); done; echo done; cat; "
            + "grep -l '^State:.*zombie' /proc/[0-9]*/status; true");
        spec = spec with { Linux = spec.Linux! with { Namespaces = [.. spec.Linux.Namespaces!.Where(entry => entry.Type != "pid")] } };
        await using var container = await GuestContainer.StartAsync(machine, spec);
        // Every orphan has ended once the container's cgroup holds the shell and its cat alone.
        for (var processes = 3; processes > 2;)
        {
            processes = (await machine.Agent.ProcessesAsync(new ProcessesRequest { Id = container.Id })).Processes.Count;
        }
        container.Streams.Input.Dispose();
        Assert.Equal("done\n", await container.Streams.Text);
    });

    [SkippableFact]
    public Task The_agent_stays_small() => machine.RunAsync(async () =>
    {
        var spec = GuestContainer.Spec("cat /proc/1/status");
        spec = spec with { Linux = spec.Linux! with { Namespaces = [.. spec.Linux.Namespaces!.Where(entry => entry.Type != "pid")] } };
        await using var container = await GuestContainer.StartAsync(machine, spec);
        var status = await container.Streams.Text;
        Assert.Equal("init", Field("Name"));
        // Kilobytes that no file backs; the rest is the binary itself.
        Assert.InRange(int.Parse(Field("RssAnon").Split(' ')[0], CultureInfo.InvariantCulture), 1, 8 * 1024);

        string Field(string name) => status.Split('\n').Single(line => line.StartsWith(name + ":", StringComparison.Ordinal)).Split('\t', 2)[1].Trim();
    });

    [SkippableTheory]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("")]
    public Task An_id_that_is_a_path_is_refused(string id) => machine.RunAsync(async () =>
    {
        var refused = await Assert.ThrowsAsync<TtrpcException>(
            () => machine.Agent.CreateContainerAsync(new CreateContainerRequest { Id = id }));
        Assert.Equal(StatusCode.InvalidArgument, refused.Code);
    });

    [SkippableFact]
    public Task States_are_refused_in_the_words_that_callers_match() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        await Refused(StatusCode.FailedPrecondition, "cannot start an already running container", container.StartAsync());
        await Refused(StatusCode.NotFound, "process does not exist", container.WaitAsync("nobody"));
        await Refused(StatusCode.FailedPrecondition, $"cannot delete container {container.Id} that is not stopped: running",
            machine.Agent.DeleteAsync(new DeleteRequest { Id = container.Id }));
        container.Streams.Input.Dispose();
        await container.WaitAsync();
        await Refused(StatusCode.FailedPrecondition, "container not running", container.SignalAsync(15));
        await Refused(StatusCode.FailedPrecondition, "cannot exec in a stopped container",
            container.ExecAsync("late", GuestContainer.Process("true")));
        await Refused(StatusCode.NotFound, "container does not exist",
            machine.Agent.PauseAsync(new PauseRequest { Id = "nobody" }));
    });

    private static async Task Refused(StatusCode code, string message, Task call)
    {
        var refused = await Assert.ThrowsAsync<TtrpcException>(() => call);
        Assert.Equal((code, message), (refused.Code, refused.Message));
    }
}
