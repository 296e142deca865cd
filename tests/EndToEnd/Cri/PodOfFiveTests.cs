using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>A pod of five containers of which one crashes again and again and one hits its memory limit: the others must not notice.</summary>
public sealed class PodOfFiveTests(CriNode node) : IClassFixture<CriNode>
{
    private const int Crashes = 10;

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task Crashes_and_a_memory_limit_disturb_nobody_else(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        await using var events = await EventRecorder.StartAsync(node);
        var pod = await Pod.RunAsync(node, handler);
        var volume = Directory.CreateDirectory($"{node.Files}/{pod.Name}/volume").FullName;
        ContainerConfig Container(string name, string script, uint attempt = 0)
        {
            var config = pod.Container(name, script, attempt);
            config.Mounts.Add(new Mount { ContainerPath = "/volume", HostPath = volume });
            return config;
        }
        const string beat = "i=0; while :; do i=$((i+1)); echo $i > /volume/$NAME.new; mv /volume/$NAME.new /volume/$NAME; sleep 0.1; done";
        var steady = new List<string>();
        foreach (var name in (string[])["one", "two"])
            steady.Add(await pod.StartAsync(Container(name, beat.Replace("$NAME", name, StringComparison.Ordinal))));
        var reader = await pod.StartAsync(Container("reader", "while :; do cat /volume/one /volume/two > /dev/shm/seen.new && mv /dev/shm/seen.new /dev/shm/seen; sleep 0.1; done"));

        var crashed = new List<string>();
        for (uint attempt = 0; attempt <= Crashes; attempt++)
        {
            var id = await pod.StartAsync(Container("crashing", $"echo attempt {attempt} >> /volume/attempts; exit $((40 + {attempt}))", attempt));
            var status = await pod.UntilStateAsync(id, ContainerState.ContainerExited);
            Assert.Equal((40 + (int)attempt, "Error"), (status.ExitCode, status.Reason));
            crashed.Add(id);
            // As kubelet: only the last ones are kept.
            if (attempt > 0)
                await node.Cri.RemoveContainerAsync(crashed[(int)attempt - 1]);
        }
        var greedy = Container("greedy", "echo begun; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done");
        greedy.Linux.Resources = new LinuxContainerResources { MemoryLimitInBytes = 24 << 20 };
        var limited = await pod.StartAsync(greedy);
        var killed = await pod.UntilStateAsync(limited, ContainerState.ContainerExited);
        Assert.Equal((137, "OOMKilled"), (killed.ExitCode, killed.Reason));

        Assert.Equal(Crashes + 1, File.ReadAllLines($"{volume}/attempts").Length);
        foreach (var id in steady.Append(reader))
            Assert.Equal(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(id)).State);
        var beats = File.ReadAllText($"{volume}/one");
        await CriNode.Eventually("the first container's heart beats on", () => Task.FromResult(File.ReadAllText($"{volume}/one") != beats));
        Assert.Equal("2", await pod.ExecAsync(reader, "wc -l < /dev/shm/seen"));
        await pod.RemoveAsync();

        // The events of each container in their order, as they are with runc.
        string[] life = ["create", "start", "exit", "delete"];
        await CriNode.Eventually("all events have come", () => Task.FromResult(events.Of(pod.Id).Contains("delete")));
        foreach (var id in crashed.Append(pod.Id).Concat(steady))
            Assert.Equal(life, events.Of(id));
        Assert.Equal(life, events.Of(limited).Where(topic => topic != "oom"));
        Assert.Contains("oom", events.Of(limited));
        await node.AssertNothingLeftAsync(before);
    }
}
