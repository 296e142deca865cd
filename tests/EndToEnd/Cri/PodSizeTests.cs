using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>A running machine has what its containers were granted, as they come, change and go.</summary>
public sealed class PodSizeTests(CriNode node) : IClassFixture<CriNode>
{
    private const long Gibibyte = 1L << 30;

    [SkippableFact]
    public async Task A_container_that_is_added_brings_its_processors_and_memory_along()
    {
        Skip.If(node.Missing is not null, node.Missing);
        Skip.IfNot(Environment.ProcessorCount > 1, "this host has one processor: a machine cannot have two");
        var pod = await Pod.RunAsync(node, CriNode.KataLike);
        var witness = await pod.StartAsync(pod.Container("witness", "sleep 100000"));
        async Task<(int Processors, long Memory)> SizeAsync()
        {
            var words = (await pod.ExecAsync(witness, "echo $(nproc) $(grep MemTotal /proc/meminfo)")).Split(' ');
            return (int.Parse(words[0]), long.Parse(words[2]) >> 10);
        }
        var (processors, memory) = await SizeAsync();
        Assert.Equal(1, processors);

        var large = pod.Container("large", "sleep 100000");
        large.Linux.Resources = new LinuxContainerResources { CpuQuota = 200_000, CpuPeriod = 100_000, MemoryLimitInBytes = Gibibyte };
        var added = await pod.StartAsync(large);
        Assert.Equal((2, memory + 1024), await SizeAsync());
        Assert.Equal($"200000 100000 {Gibibyte}", await pod.ExecAsync(added, "echo $(cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max)"));
        // All of it can be used.
        Assert.Equal("700", await pod.ExecAsync(added, "dd if=/dev/zero of=/dev/shm/file bs=1M count=60 2>/dev/null; dd if=/dev/zero bs=700M count=1 2>/dev/null | wc -c | awk '{ print $1 / 1048576 }'; rm /dev/shm/file"));

        await node.Cri.UpdateAsync(added, new LinuxContainerResources { CpuQuota = 200_000, CpuPeriod = 100_000, MemoryLimitInBytes = 2 * Gibibyte });
        Assert.Equal((2, memory + 2048), await SizeAsync());

        await node.Cri.StopContainerAsync(added, grace: 0);
        await node.Cri.RemoveContainerAsync(added);
        Assert.Equal(1, (await SizeAsync()).Processors);
        await CriNode.Eventually("the guest has given its memory back", async () => (await SizeAsync()).Memory < memory + 256);
        await pod.RemoveAsync();
    }
}
