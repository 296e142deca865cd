using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>emptyDir volumes as kubelet prepares them, in a pod of two containers.</summary>
public sealed class MemoryVolumeTests : CommandLineCase
{
    private string Pod => $"{Directory}/pods/1/volumes/kubernetes.io~empty-dir";

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task EmptyDirectories_are_shared_in_the_pod_and_limited(string name)
    {
        var runtime = Runtime(name);
        var (memory, disk, shm, part) = ($"{Pod}/memory", $"{Pod}/disk", $"{Directory}/shm", $"{Directory}/subpath");
        foreach (var directory in (string[])[memory, disk, shm, part])
            System.IO.Directory.CreateDirectory(directory);
        string[] mounted = [memory, shm, part];
        await MountAsync("-t", "tmpfs", "-o", "size=1m,mode=1775,gid=2000", "tmpfs", memory);
        await MountAsync("-t", "tmpfs", "-o", "size=2m,mode=1777", "shm", shm);
        System.IO.Directory.CreateDirectory($"{memory}/sub");
        // As kubelet prepares a subPath.
        await MountAsync("--bind", $"{memory}/sub", part);
        try
        {
            var (first, second) = (Id, $"{Id}-2");
            AssertOk(await StartAsync(runtime, first, first, (memory, "/memory"), (disk, "/disk"), (shm, "/dev/shm")));
            AssertOk(await StartAsync(runtime, second, first, (memory, "/all"), (part, "/part"), (disk, "/disk"), (shm, "/dev/shm")));

            Assert.Equal("1775 0 2000", await ReadAsync(runtime, first, "busybox stat -c '%a %u %g' /memory"));
            Assert.Equal("", await ReadAsync(runtime, first, "echo m >/memory/file; echo d >/disk/file; echo s >/dev/shm/file"));
            Assert.Equal("m\nd\ns", await ReadAsync(runtime, second, "cat /all/file /disk/file /dev/shm/file"));
            Assert.Equal("p", await ReadAsync(runtime, second, "echo p >/part/file; cat /all/sub/file"));
            Assert.Equal("p", await ReadAsync(runtime, first, "cat /memory/sub/file"));
            Assert.Equal("d\n", await File.ReadAllTextAsync($"{disk}/file"));
            Assert.Equal(runtime.IsKataLike, !File.Exists($"{memory}/file"));

            Assert.Equal("1024\n2048", await ReadAsync(runtime, second, "busybox df -k /all /dev/shm | busybox awk 'NR > 1 {print $2}'"));
            var full = await runtime.RunAsync("exec", second, "sh", "-c", "cat /dev/zero >/all/sub/fill");
            Assert.True(full.ExitCode != 0 && full.Error.Contains("No space left", StringComparison.Ordinal), full.ToString());

            // A container may put a link in the place of a directory: it leads nowhere outside of the volume.
            Assert.Equal("", await ReadAsync(runtime, first, "busybox rm -r /memory/sub; busybox ln -s /etc /memory/sub"));
            foreach (var id in (string[])[second, first])
                AssertOk(await runtime.RunAsync("delete", "--force", id));
        }
        finally
        {
            foreach (var mount in mounted.Reverse())
                await HostCommand.RunAsync("umount", ["-l", mount]);
        }
    }

    private static async Task MountAsync(params string[] arguments) => AssertOk(await HostCommand.RunAsync("mount", arguments));

    private async Task<CommandResult> StartAsync(OciRuntime runtime, string id, string pod, params (string Source, string Destination)[] binds)
    {
        var bundle = Bundle();
        bundle.Write(["sleep", "1000"], spec =>
        {
            spec["annotations"] = new JsonObject
            {
                ["io.kubernetes.cri.sandbox-id"] = pod,
                ["io.kubernetes.cri.container-type"] = id == pod ? "sandbox" : "container",
            };
            foreach (var (source, destination) in binds)
                spec["mounts"]!.AsArray().Add(JsonNode.Parse($$"""{"destination": "{{destination}}", "type": "bind", "source": "{{source}}", "options": ["rbind", "rprivate", "rw"]}"""));
        });
        return await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, id);
    }

    private static async Task<string> ReadAsync(OciRuntime runtime, string id, string script)
    {
        var read = await runtime.RunAsync("exec", id, "sh", "-c", script);
        AssertOk(read);
        return read.Text;
    }
}
