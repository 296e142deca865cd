using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>Parts that die while the pod is at work: it is reported as what it is, and everything is gone after its removal.</summary>
public sealed class FaultTests(CriNode node) : IClassFixture<CriNode>
{
    [SkippableTheory]
    [InlineData("the shim", "sandbox", "--door")]
    [InlineData("the hypervisor", "qemu-system", "-name")]
    [InlineData("the file system's daemon", "virtiofsd", "")]
    public async Task A_pod_whose_part_dies_is_reported_dead_and_removed(string part, string program, string word)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        await using var events = await EventRecorder.StartAsync(node);
        var pod = await Pod.RunAsync(node, CriNode.KataLike);
        var (first, second) = (await StartBusyAsync(pod, "first"), await StartBusyAsync(pod, "second"));
        await using var exec = await StreamingSession.OpenAsync(node, await node.Cri.ExecAsync(first, false, false, "yes"));
        await exec.UntilAsync(StreamingSession.Stdout, "y");

        // The daemon forks: its parent is the one that is started first.
        var victims = node.Processes(program, word);
        Assert.True(victims.Count > 0, $"{part} does not run");
        await HostCommand.RunAsync("kill", ["-9", $"{victims.Min()}"]);

        foreach (var container in (string[])[first, second])
            Assert.NotEqual(0, (await pod.UntilStateAsync(container, ContainerState.ContainerExited)).ExitCode);
        await CriNode.Eventually("the pod is not ready", async () => (await node.Cri.PodStatusAsync(pod.Id)).State == PodSandboxState.SandboxNotready);
        await exec.UntilEndAsync();
        await CriNode.Eventually("the exits are told", () => Task.FromResult(events.Of(first).Contains("exit") && events.Of(second).Contains("exit")));
        Assert.NotEqual(0, (await Refused(() => node.Cri.ExecSyncAsync(first, 0, "true"))).Status);

        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task A_pod_outlives_containerd(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var steady = await StartBusyAsync(pod, "steady");
        var ending = await pod.StartAsync(pod.Container("ending", "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 6"));
        var lost = await pod.StartAsync(pod.Container("lost", "while [ ! -e /dev/shm/end ]; do sleep 0.1; done; exit 7"));
        // Ends while nobody is there to be told.
        await pod.ExecAsync(steady, "(sleep 1; touch /dev/shm/end) > /dev/null 2>&1 &");

        await node.KillAsync();
        await node.StartAsync();

        Assert.Equal(PodSandboxState.SandboxReady, (await node.Cri.PodStatusAsync(pod.Id)).State);
        Assert.Equal(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(steady)).State);
        Assert.Equal(7, (await pod.UntilStateAsync(lost, ContainerState.ContainerExited)).ExitCode);
        await pod.ExecAsync(ending, "touch /tmp/end");
        Assert.Equal(6, (await pod.UntilStateAsync(ending, ContainerState.ContainerExited)).ExitCode);
        var later = await pod.StartAsync(pod.Container("later", "echo late"));
        Assert.Equal(0, (await pod.UntilStateAsync(later, ContainerState.ContainerExited)).ExitCode);
        Assert.Equal("late", Assert.Single(pod.LogOf("later.0.log")).Text);
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableFact]
    public async Task A_shim_that_dies_while_containerd_is_away_leaves_nothing()
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, CriNode.KataLike);
        var container = await StartBusyAsync(pod, "main");

        await node.KillAsync();
        await HostCommand.RunAsync("kill", ["-9", $"{Assert.Single(node.Processes("sandbox", "--door"))}"]);
        await node.StartAsync();

        Assert.NotEqual(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(container)).State);
        Assert.Equal(PodSandboxState.SandboxNotready, (await node.Cri.PodStatusAsync(pod.Id)).State);
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    /// <summary>Computes, and writes to its own file system and its log.</summary>
    private static Task<string> StartBusyAsync(Pod pod, string name) =>
        pod.StartAsync(pod.Container(name, "i=0; while :; do i=$((i+1)); echo $i > /file; echo $i; sleep 0.05; done"));

    private static async Task<GrpcException> Refused(Func<Task> call) => await Assert.ThrowsAsync<GrpcException>(call);
}
