using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Cri;
using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>Volumes as kubelet gives them to containerd's CRI.</summary>
public sealed class KubernetesTests(CriNode node) : IClassFixture<CriNode>
{
    private const string Sleep = "while :; do sleep 0.2; done";
    private const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    [SkippableTheory]
    [InlineData(CriNode.KataLike)]
    [InlineData(CriNode.Runc)]
    public async Task A_pod_has_its_volumes(string handler)
    {
        Skip.If(node.Missing is not null, node.Missing);
        var before = await node.InventoryAsync();
        var pod = await Pod.RunAsync(node, handler);
        var root = $"{node.Files}/{pod.Name}";
        var (memory, part, propagated) = ($"{root}/volumes/kubernetes.io~empty-dir/memory", $"{root}/volume-subpaths/memory", $"{root}/propagated");
        foreach (var directory in (string[])[memory, part, propagated, $"{root}/disk"])
            Directory.CreateDirectory(directory);
        await HostAsync("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", memory);
        await HostAsync("mkdir", $"{memory}/sub");
        await HostAsync("mount", "--bind", $"{memory}/sub", part);
        await HostAsync("mount", "--bind", propagated, propagated);
        await HostAsync("mount", "--make-shared", propagated);
        var config = new AtomicWriter($"{root}/volumes/kubernetes.io~configmap/config");
        config.Write(Readable, ("key", "one\n"), ("other", "gone"));
        foreach (var file in (string[])["hosts", "termination-log"])
            await File.WriteAllTextAsync($"{root}/{file}", $"{file} of the pod\n");

        ContainerConfig Container(string name, params Mount[] mounts)
        {
            var container = pod.Container(name, Sleep);
            container.Mounts.AddRange(mounts);
            return container;
        }
        var first = await pod.StartAsync(Container(
            "first", Bind(config.Path, "/config", isReadOnly: true), Bind(memory, "/memory"), Bind($"{root}/disk", "/disk"),
            Bind($"{root}/hosts", "/etc/hosts"), Bind($"{root}/termination-log", "/dev/termination-log"),
            Bind(propagated, "/propagated", propagation: MountPropagation.PropagationHostToContainer)));
        var second = await pod.StartAsync(Container(
            "second", Bind(part, "/part"), Bind($"{root}/disk", "/disk"), Bind(config.Path, "/config", isReadOnly: true)));

        Assert.Equal("one\nhosts of the pod", await pod.ExecAsync(first, "cat /config/key /etc/hosts"));
        Assert.Equal("nameserver 10.96.0.10", await pod.ExecAsync(first, "grep nameserver /etc/resolv.conf"));
        await pod.ExecAsync(first, "echo ended >/dev/termination-log; echo from first | tee /disk/file >/memory/sub/file");
        Assert.Equal("ended\n", await File.ReadAllTextAsync($"{root}/termination-log"));
        Assert.Equal("from first\nfrom first", await pod.ExecAsync(second, "cat /disk/file /part/file"));
        Assert.NotEqual(0, (await node.Cri.ExecSyncAsync(first, 0, "sh", "-c", "echo x >/config/key")).ExitCode);

        config.Write(Readable, ("key", "two\n"));
        foreach (var container in (string[])[first, second])
            await CriNode.Eventually("the configmap's update is seen", async () => await pod.ExecAsync(container, "cat /config/key") == "two");
        await HostAsync("mkdir", $"{propagated}/later");
        await HostAsync("mount", "-t", "tmpfs", "later", $"{propagated}/later");
        await HostAsync("sh", "-c", $"echo mounted >{propagated}/later/file");
        await CriNode.Eventually("what is mounted later is seen", async () => await pod.ExecAsync(first, "cat /propagated/later/file || true") == "mounted");

        // A container that is started again finds what its predecessor has left.
        var again = pod.Container("first", Sleep, attempt: 1);
        again.Mounts.AddRange([Bind(memory, "/memory"), Bind(config.Path, "/config", isReadOnly: true)]);
        await node.Cri.StopContainerAsync(first, 0);
        Assert.Equal("from first\ntwo", await pod.ExecAsync(await pod.StartAsync(again), "cat /memory/sub/file /config/key"));

        foreach (var mount in (string[])[$"{propagated}/later", propagated, part, memory])
            await HostAsync("umount", "--lazy", mount);
        await pod.RemoveAsync();
        await node.AssertNothingLeftAsync(before);
    }

    private static Mount Bind(string source, string destination, bool isReadOnly = false, MountPropagation propagation = MountPropagation.PropagationPrivate) =>
        new() { HostPath = source, ContainerPath = destination, Readonly = isReadOnly, Propagation = propagation };

    /// <summary>Among the node's mounts.</summary>
    private async Task HostAsync(params string[] command)
    {
        CommandResult result = await node.Namespaces.RunAsync(command);
        Assert.True(result.ExitCode == 0, result.ToString());
    }
}
