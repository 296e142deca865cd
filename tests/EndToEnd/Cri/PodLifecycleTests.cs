using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>Pods as kubelet makes, uses and removes them. Each case runs with runc too, so that the case itself is tested.</summary>
public sealed class PodLifecycleTests(CriNode node) : IClassFixture<CriNode>
{
    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public Task A_pod_goes_through_its_life(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        return LifeAsync(node, handler);
    }

    [SkippableFact]
    public async Task A_pod_in_a_machine_of_the_pool_goes_through_the_same()
    {
        Skip.If(node.Missing is not null, node.Missing);
        await using var pool = new MachinePool(node.PoolConfiguration, "/run/katalike/pool", 1, node.Namespaces);
        await pool.StartAsync();
        var waiting = Assert.Single(pool.Waiting);
        await LifeAsync(node, CriNode.KataLikePool, () => Assert.Contains(waiting, node.Processes()));
        await pool.ReadyAsync();
        await pool.StopAsync();
    }

    /// <param name="look">Called while the pod runs.</param>
    internal static async Task LifeAsync(CriNode node, string handler, Action? look = null)
    {
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler, config =>
        {
            config.Labels["app"] = "web";
            config.Linux.Sysctls["net.ipv4.ip_unprivileged_port_start"] = "80";
            config.Annotations["kubernetes.io/ingress-bandwidth"] = config.Annotations["kubernetes.io/egress-bandwidth"] = "800M";
        });
        Assert.Equal(2, (await node.Namespaces.RunAsync("tc", "qdisc")).Text.Split('\n').Count(line => line.Contains("tbf", StringComparison.Ordinal)));

        look?.Invoke();

        var status = await node.Cri.PodStatusAsync(pod.Id);
        Assert.Equal(PodSandboxState.SandboxReady, status.State);
        Assert.StartsWith("10.89.", status.Network.Ip, StringComparison.Ordinal);
        Assert.StartsWith("fd89:", Assert.Single(status.Network.AdditionalIps).Ip, StringComparison.Ordinal);
        Assert.Equal("web", status.Labels["app"]);

        var created = await pod.CreateAsync(pod.Container("main", "trap 'echo bye; exit 9' TERM; echo out; echo err >&2; while :; do sleep 0.1; done"));
        Assert.Equal(ContainerState.ContainerCreated, (await node.Cri.ContainerStatusAsync(created)).State);
        await node.Cri.StartContainerAsync(created);
        var running = await node.Cri.ContainerStatusAsync(created);
        Assert.Equal(ContainerState.ContainerRunning, running.State);
        Assert.True(running.StartedAt >= running.CreatedAt && running.CreatedAt > 0);

        Assert.Equal(pod.Name, await pod.ExecAsync(created, "hostname"));
        Assert.Equal("80", await pod.ExecAsync(created, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"));
        Assert.Contains("nameserver 10.96.0.10", await pod.ExecAsync(created, "cat /etc/resolv.conf"), StringComparison.Ordinal);

        await node.Cri.StopContainerAsync(created, grace: 30);
        var stopped = await node.Cri.ContainerStatusAsync(created);
        Assert.Equal((ContainerState.ContainerExited, 9), (stopped.State, stopped.ExitCode));
        Assert.True(stopped.FinishedAt >= stopped.StartedAt);
        Assert.Equal(["stdout out", "stderr err", "stdout bye"], pod.LogOf("main.0.log").Select(line => $"{line.Stream} {line.Text}").OrderBy(Order));

        var deaf = await pod.StartAsync(pod.Container("deaf", "trap '' TERM; while :; do sleep 0.1; done"));
        await node.Cri.StopContainerAsync(deaf, grace: 1);
        Assert.Equal(137, (await node.Cri.ContainerStatusAsync(deaf)).ExitCode);

        await node.Cri.RemoveContainerAsync(deaf);
        await Assert.ThrowsAsync<GrpcException>(() => node.Cri.ContainerStatusAsync(deaf));
        // Twice is as good as once: kubelet does not know what it has done before its own restart.
        await node.Cri.StopContainerAsync(created, grace: 1);
        await node.Cri.StopPodAsync(pod.Id);
        await node.Cri.StopPodAsync(pod.Id);
        Assert.Equal(PodSandboxState.SandboxNotready, (await node.Cri.PodStatusAsync(pod.Id)).State);
        await pod.RemoveAsync();
        Assert.DoesNotContain(await node.Cri.ListPodsAsync(), item => item.Id == pod.Id);
        await node.AssertNothingLeftAsync(before);

        // Between streams there is no order.
        static int Order(string line) => line switch { "stdout out" => 0, "stderr err" => 1, _ => 2 };
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task Commands_are_run_in_a_container_and_their_streams_arrive(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var container = await pod.StartAsync(pod.Container("main", "while :; do sleep 1000; done"));

        var answer = await node.Cri.ExecSyncAsync(container, 0, "sh", "-c", "echo out; echo err >&2; exit 3");
        Assert.Equal(("out", "err", 3), (Pod.Text(answer.Stdout), Pod.Text(answer.Stderr), answer.ExitCode));
        var late = await Assert.ThrowsAsync<GrpcException>(() => node.Cri.ExecSyncAsync(container, 1, "sleep", "1234"));
        Assert.Contains("timeout", late.Message, StringComparison.Ordinal);
        await CriNode.Eventually("the late command is killed", async () => await pod.ExecAsync(container, "ps | grep '[1]234' || true") == "");
        var absent = await Assert.ThrowsAsync<GrpcException>(() => node.Cri.ExecSyncAsync(container, 0, "/no/such/program"));
        Assert.Contains("no such file or directory", absent.Message, StringComparison.Ordinal);

        await using (var exec = await StreamingSession.OpenAsync(node, await node.Cri.ExecAsync(container, false, true, "sh", "-c", "read line; echo got $line; echo err >&2; exit 4")))
        {
            await exec.SendAsync(StreamingSession.Stdin, "hello\n");
            await exec.UntilEndAsync();
            Assert.Equal(("got hello\n", "err\n"), (exec.Text(StreamingSession.Stdout), exec.Text(StreamingSession.Stderr)));
            Assert.Contains("\"message\":\"4\"", exec.Text(StreamingSession.Status), StringComparison.Ordinal);
        }
        await using (var terminal = await StreamingSession.OpenAsync(node, await node.Cri.ExecAsync(container, true, true, "sh")))
        {
            await terminal.SendAsync(StreamingSession.Size, """{"Width":123,"Height":45}""");
            await terminal.SendAsync(StreamingSession.Stdin, "while [ \"$(stty size)\" != '45 123' ]; do :; done; echo sized-$((6*7)); exit\n");
            await terminal.UntilAsync(StreamingSession.Stdout, "sized-42");
            await terminal.UntilEndAsync();
            Assert.Contains("Success", terminal.Text(StreamingSession.Status), StringComparison.Ordinal);
        }
        await using (var much = await StreamingSession.OpenAsync(node, await node.Cri.ExecAsync(container, false, false, "sh", "-c", "yes katalike | head -c 4000000")))
        {
            await much.UntilEndAsync();
            Assert.Equal(4_000_000, much.Bytes(StreamingSession.Stdout).Length);
        }
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task Clients_attach_to_a_container_and_leave_it(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var config = pod.Container("echo", "echo begun; while read line; do echo \"said $line\"; done; echo over");
        config.Stdin = true;
        var container = await pod.StartAsync(config);

        for (var visit = 0; visit < 2; visit++)
        {
            await using var attached = await StreamingSession.OpenAsync(node, await node.Cri.AttachAsync(container, false, true));
            await attached.SendAsync(StreamingSession.Stdin, $"visit {visit}\n");
            await attached.UntilAsync(StreamingSession.Stdout, $"said visit {visit}");
        }
        Assert.Equal(ContainerState.ContainerRunning, (await node.Cri.ContainerStatusAsync(container)).State);
        Assert.Equal(["begun", "said visit 0", "said visit 1"], pod.LogOf("echo.0.log").Select(line => line.Text));

        var once = pod.Container("once", "cat; echo over");
        (once.Stdin, once.StdinOnce) = (true, true);
        var reader = await pod.StartAsync(once);
        await using (var attached = await StreamingSession.OpenAsync(node, await node.Cri.AttachAsync(reader, false, true)))
        {
            await attached.SendAsync(StreamingSession.Stdin, "last words\n");
            await attached.UntilAsync(StreamingSession.Stdout, "last words");
        }
        // The only client that it may have has gone: its input ends.
        Assert.Equal(0, (await pod.UntilStateAsync(reader, ContainerState.ContainerExited)).ExitCode);
        Assert.Equal(["last words", "over"], pod.LogOf("once.0.log").Select(line => line.Text));
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task Ports_of_the_pods_localhost_are_forwarded(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var container = await pod.StartAsync(pod.Container("echo", "nc -ll -p 8080 -e cat"));
        await CriNode.Eventually("the server listens", async () => (await pod.ExecAsync(container, "netstat -ltn")).Contains(":8080 ", StringComparison.Ordinal));

        var sent = new byte[1 << 20];
        new Random(42).NextBytes(sent);
        await using (var session = await StreamingSession.OpenAsync(node, await node.Cri.PortForwardAsync(pod.Id, 8080)))
        {
            var sending = Task.Run(async () =>
            {
                foreach (var part in sent.Chunk(32 << 10))
                    await session.SendAsync(StreamingSession.PortData, part);
            });
            // The first two bytes of each channel are the port's number.
            while (session.Bytes(StreamingSession.PortData).Length < sent.Length + 2)
                Assert.True(await session.ReceiveAsync(), $"the session ended: {session.Text(StreamingSession.PortError)}");
            await sending;
            Assert.Equal([0x90, 0x1f, .. sent], session.Bytes(StreamingSession.PortData));
        }
        await using (var nobody = await StreamingSession.OpenAsync(node, await node.Cri.PortForwardAsync(pod.Id, 8081)))
        {
            await nobody.SendAsync(StreamingSession.PortData, "hello");
            await nobody.UntilEndAsync();
            Assert.Equal(2, nobody.Bytes(StreamingSession.PortData).Length);
        }
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task Containers_are_measured_limited_and_their_logs_rotated(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var config = pod.Container("main", "mkfifo /tmp/go; echo first; read line < /tmp/go; echo $line; head -c 20000 /dev/zero | tr '\\0' x; echo; sleep 1000");
        config.Linux.Resources = new LinuxContainerResources { MemoryLimitInBytes = 64 << 20, CpuQuota = 50_000, CpuPeriod = 100_000, CpuShares = 512 };
        var container = await pod.CreateAsync(config);
        await node.Cri.StartContainerAsync(container);
        await pod.ExecAsync(container, "dd if=/dev/zero of=/dev/shm/kept bs=1M count=8 2>/dev/null; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");

        ContainerStats? stats = null;
        await CriNode.Eventually("there are statistics", async () => (stats = await node.Cri.StatsAsync(container)).Memory?.WorkingSetBytes?.Value > 8 << 20);
        Assert.Equal(container, stats!.Attributes.Id);
        Assert.InRange(stats.Memory.WorkingSetBytes.Value, 8ul << 20, 64ul << 20);
        Assert.True(stats.Cpu.UsageCoreNanoSeconds.Value > 1_000_000);
        Assert.Equal(container, Assert.Single(await node.Cri.ListStatsAsync(pod.Id)).Attributes.Id);
        var sum = await node.Cri.PodStatsAsync(pod.Id);
        Assert.Equal(container, Assert.Single(sum.Linux.Containers).Attributes.Id);
        Assert.True(sum.Linux.Memory.WorkingSetBytes.Value > 8 << 20);
        Assert.True(sum.Linux.Cpu.UsageCoreNanoSeconds.Value > 1_000_000);
        Assert.Equal("eth0", sum.Linux.Network.DefaultInterface.Name);

        const string limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true";
        Assert.Equal($"{64 << 20}", await pod.ExecAsync(container, limit));
        await node.Cri.UpdateAsync(container, new LinuxContainerResources { MemoryLimitInBytes = 96 << 20 });
        Assert.Equal($"{96 << 20}", await pod.ExecAsync(container, limit));

        File.Move($"{pod.LogDirectory}/main.0.log", $"{pod.LogDirectory}/main.0.log.old");
        await node.Cri.ReopenLogAsync(container);
        await pod.ExecAsync(container, "echo second > /tmp/go");
        await CriNode.Eventually("the long line is logged", () => Task.FromResult(pod.LogOf("main.0.log").Any(line => line is { Tag: "F" } && line.Text.StartsWith('x'))));
        Assert.Equal("first", Assert.Single(pod.LogOf("main.0.log.old")).Text);
        var rotated = pod.LogOf("main.0.log");
        Assert.Equal(("F", "second"), (rotated[0].Tag, rotated[0].Text));
        Assert.Equal(new string('x', 20000), string.Concat(rotated.Skip(1).Select(line => line.Text)));
        Assert.Contains(rotated, line => line.Tag == "P");
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }
}
