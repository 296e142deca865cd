using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>Many pods, made and removed in parallel.</summary>
public sealed class ManyPodsTests(CriNode node) : IClassFixture<CriNode>
{
    /// <summary>KATALIKE_PODS says how many; emulation makes a few of them take their time.</summary>
    private static int Count => int.TryParse(Environment.GetEnvironmentVariable("KATALIKE_PODS"), out var count) ? count : 10;

    private const int Batch = 5;

    [SkippableFact]
    public async Task Batches_of_pods_come_and_go_and_leave_nothing()
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        long used = 0;
        for (var done = 0; done < Count; done += Batch)
        {
            var pods = await Task.WhenAll(Enumerable.Range(0, Batch).Select(async _ =>
            {
                var pod = await Pod.RunAsync(node, CriNode.KataLike);
                var container = await pod.StartAsync(pod.Container("main", "echo $(hostname); sleep 1000"));
                Assert.Equal(pod.Name, await pod.ExecAsync(container, "hostname"));
                return pod;
            }));
            var boots = await Task.WhenAll(pods.Select(pod => node.Cri.PodStatusAsync(pod.Id)));
            Assert.All(boots, status => Assert.Equal(PodSandboxState.SandboxReady, status.State));
            Assert.Equal(Batch, boots.Select(status => status.Network.Ip).Distinct().Count());
            used = Math.Max(used, node.PodMemory() ?? 0);
            await Task.WhenAll(pods.Select(pod => pod.RemoveAsync()));
        }
        await node.AssertNothingLeftAsync(before);
        // Anonymous memory and tmpfs, the machines' own among it: what has not been freed stays with the cgroup above the pods'.
        if (node.PodMemory() is not null)
        {
            Assert.True(used > Batch * (40L << 20), $"{Batch} pods use {used} bytes");
            await CriNode.Eventually("the memory of all pods has returned", () => Task.FromResult(node.PodMemory() < 4 << 20));
        }
    }
}
