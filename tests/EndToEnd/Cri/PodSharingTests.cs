using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>What the containers of a pod have in common, and what not.</summary>
public sealed class PodSharingTests(CriNode node) : IClassFixture<CriNode>
{
    private const string Sleep = "while :; do sleep 0.2; done";

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task Containers_share_network_and_memory_but_neither_processes_nor_files(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var volume = Directory.CreateDirectory($"{node.Files}/{pod.Name}/volume").FullName;
        ContainerConfig Container(string name, string script, uint attempt = 0)
        {
            var config = pod.Container(name, script, attempt);
            config.Mounts.Add(new Mount { ContainerPath = "/volume", HostPath = volume });
            return config;
        }
        var first = await pod.StartAsync(Container("first", $"echo private > /mine; echo common > /volume/file; {Sleep}"));
        var second = await pod.StartAsync(Container("second", "while :; do echo served | nc -l -p 8080; done"));

        const string namespaces = "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done";
        var (ours, theirs) = ((await pod.ExecAsync(first, namespaces)).Split('\n'), (await pod.ExecAsync(second, namespaces)).Split('\n'));
        Assert.Equal(ours[..3], theirs[..3]);
        Assert.NotEqual(ours[3], theirs[3]);
        await CriNode.Eventually("the other container runs its server", async () => await pod.ExecAsync(second, "ps | grep '[n]c -l' || true") != "");
        Assert.Equal("", await pod.ExecAsync(first, "ps | grep '[n]c -l' || true"));

        await CriNode.Eventually("the other container serves", async () => await pod.ExecAsync(first, "nc -w 5 127.0.0.1 8080 < /dev/null || true") == "served");
        await pod.ExecAsync(first, "echo segment > /dev/shm/segment");
        Assert.Equal("segment", await pod.ExecAsync(second, "cat /dev/shm/segment"));
        Assert.Equal("common", await pod.ExecAsync(second, "cat /volume/file; ls /mine 2>/dev/null || true"));

        // As kubelet restarts one: a new container of the same name beside those that run.
        await node.Cri.StopContainerAsync(first, grace: 0);
        await node.Cri.RemoveContainerAsync(first);
        var again = await pod.StartAsync(Container("first", Sleep, attempt: 1));
        Assert.Equal(ours[..3], (await pod.ExecAsync(again, namespaces)).Split('\n')[..3]);
        Assert.Equal("segment common", await pod.ExecAsync(again, "echo $(cat /dev/shm/segment /volume/file)"));
        Assert.Equal(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(second)).State);
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public Task A_pod_may_share_its_processes(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        return ProcessesAsync(node, handler, "wait");
    }

    /// <param name="program">Part of the command line of the pod's first process.</param>
    internal static async Task ProcessesAsync(CriNode node, string handler, string program)
    {
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler, config => config.Linux.SecurityContext.NamespaceOptions.Pid = NamespaceMode.Pod);
        var first = await pod.StartAsync(pod.Container("first", "sleep 11111 & exec sleep 22222"));
        var second = await pod.StartAsync(pod.Container("second", $"trap 'exit 5' USR1; echo $$ > /dev/shm/second; {Sleep}"));

        Assert.Equal(await pod.ExecAsync(first, "readlink /proc/self/ns/pid"), await pod.ExecAsync(second, "readlink /proc/self/ns/pid"));
        Assert.Contains("sleep 22222", await pod.ExecAsync(second, "ps"), StringComparison.Ordinal);
        // The pod's first process is nobody's program, and reaps what is left to it.
        Assert.Contains(program, await pod.ExecAsync(second, "tr '\\0' ' ' < /proc/1/cmdline"), StringComparison.Ordinal);
        await pod.ExecAsync(second, "sh -c 'sleep 0.1 & exit 0'");
        await CriNode.Eventually("the orphan is reaped", async () => await pod.ExecAsync(second, "ps -o stat,comm | grep ^Z || true") == "");

        // All of a container ends with its first process, also where the kernel does not see to it; and none of another's.
        await node.Cri.StopContainerAsync(first, grace: 0);
        Assert.Equal(137, (await node.Cri.ContainerStatusAsync(first)).ExitCode);
        await CriNode.Eventually("all of the first container has ended", async () => await pod.ExecAsync(second, "ps | grep -E '[s]leep (11111|22222)' || true") == "");
        Assert.Equal(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(second)).State);
        await pod.ExecAsync(second, "kill -USR1 $(cat /dev/shm/second)");
        Assert.Equal(5, (await pod.UntilStateAsync(second, ContainerState.ContainerExited)).ExitCode);
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task An_ephemeral_container_sees_the_processes_of_its_target(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var target = await pod.StartAsync(pod.Container("target", $"echo secret > /file; : target; {Sleep}"));
        await pod.StartAsync(pod.Container("other", $": other; {Sleep}"));

        var debugger = pod.Container("debugger", Sleep);
        debugger.Linux.SecurityContext.NamespaceOptions = new NamespaceOption { Pid = NamespaceMode.Target, TargetId = target };
        debugger.Linux.SecurityContext.Capabilities = new LinuxContainerSecurityContext.Types.Capability { AddCapabilities = { "SYS_PTRACE" } };
        var ephemeral = await pod.StartAsync(debugger);

        var processes = await pod.ExecAsync(ephemeral, "ps");
        Assert.Contains(": target;", processes, StringComparison.Ordinal);
        Assert.DoesNotContain(": other;", processes, StringComparison.Ordinal);
        Assert.Equal("secret", await pod.ExecAsync(ephemeral, "cat /proc/1/root/file"));
        await node.Cri.StopContainerAsync(ephemeral, grace: 0);
        Assert.Equal(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(target)).State);
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }
}
