using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>Raw block volumes: containers have devices of the host by number.</summary>
public sealed class BlockDeviceTests : CommandLineCase
{
    private readonly List<string> _loops = [];

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_pods_containers_share_disks_of_the_host(string name)
    {
        var runtime = Runtime(name);
        var (shared, reading, late) = (await AttachAsync("shared"), await AttachAsync("reading"), await AttachAsync("late"));
        try
        {
            var (first, second, third) = (Id, $"{Id}-2", $"{Id}-3");
            AssertOk(await StartAsync(runtime, first, first, (shared, "rwm", "/dev/data"), (reading, "r", "/dev/reading")));
            AssertOk(await StartAsync(runtime, second, first, (shared, "rwm", "/dev/other/name")));

            Assert.Equal("660 7 8 block special file", await ReadAsync(runtime, first, "busybox stat -c '%a %u %g %F' /dev/data"));
            Assert.Equal("shared", await ReadAsync(runtime, first, "busybox head -c 6 /dev/data"));
            Assert.Equal("reading", await ReadAsync(runtime, first, "busybox head -c 7 /dev/reading"));
            Assert.Equal($"{8 << 20}", await ReadAsync(runtime, first, "busybox blockdev --getsize64 /dev/data"));
            var refused = await runtime.RunAsync("exec", first, "sh", "-c", "echo x >/dev/reading");
            Assert.True(refused.ExitCode != 0 && refused.Error.Contains("Operation not permitted", StringComparison.Ordinal), refused.ToString());

            AssertOk(await runtime.RunAsync("exec", second, "sh", "-c", "echo written >/dev/other/name && busybox sync"));
            Assert.Equal("written", await ReadAsync(runtime, first, "busybox head -n 1 /dev/data"));
            Assert.Equal("written", await OnHostAsync(shared));

            AssertOk(await StartAsync(runtime, third, first, (late, "rwm", "/dev/late")));
            Assert.Equal("late", await ReadAsync(runtime, third, "busybox head -c 4 /dev/late"));
            foreach (var id in (string[])[third, second])
                AssertOk(await runtime.RunAsync("delete", "--force", id));
            await DetachAsync(late);
            Assert.Equal("written", await ReadAsync(runtime, first, "busybox head -n 1 /dev/data"));
            AssertOk(await runtime.RunAsync("delete", "--force", first));
        }
        finally
        {
            foreach (var loop in _loops.ToList())
                await DetachAsync(loop);
        }
    }

    /// <summary>A loop device with 8 MiB that begin with this text.</summary>
    private async Task<string> AttachAsync(string text)
    {
        var file = $"{Directory}/{text}.disk";
        var content = new byte[8 << 20];
        Encoding.ASCII.GetBytes(text + '\n').CopyTo(content, 0);
        await File.WriteAllBytesAsync(file, content);
        var loop = await HostCommand.RunAsync("losetup", ["--find", "--show", file]);
        Skip.IfNot(loop.ExitCode == 0, $"no loop devices here: {loop.Error}");
        _loops.Add(loop.Text);
        return loop.Text;
    }

    /// <summary>Nobody has it open any more: else it would stay until then.</summary>
    private async Task DetachAsync(string loop)
    {
        _loops.Remove(loop);
        AssertOk(await HostCommand.RunAsync("losetup", ["--detach", loop]));
        await Eventually.HoldsAsync(() => Task.FromResult(!File.Exists($"/sys/block/{Path.GetFileName(loop)}/loop/backing_file")), $"{loop} is free");
    }

    private static async Task<string> OnHostAsync(string loop) => (await HostCommand.RunAsync("head", ["-n", "1", loop])).Text;

    private async Task<CommandResult> StartAsync(OciRuntime runtime, string id, string pod, params (string Loop, string Access, string Path)[] devices)
    {
        var bundle = Bundle();
        var rules = new JsonArray(JsonNode.Parse("""{"allow": false, "access": "rwm"}"""));
        var nodes = new JsonArray();
        foreach (var (loop, access, path) in devices)
        {
            var minor = int.Parse(Path.GetFileName(loop)["loop".Length..], CultureInfo.InvariantCulture);
            rules.Add(JsonNode.Parse($$"""{"allow": true, "type": "b", "major": 7, "minor": {{minor}}, "access": "{{access}}"}"""));
            nodes.Add(JsonNode.Parse($$"""{"path": "{{path}}", "type": "b", "major": 7, "minor": {{minor}}, "fileMode": 432, "uid": 7, "gid": 8}"""));
        }
        bundle.Write(["sleep", "1000"], spec =>
        {
            spec["annotations"] = new JsonObject
            {
                ["io.kubernetes.cri.sandbox-id"] = pod,
                ["io.kubernetes.cri.container-type"] = id == pod ? "sandbox" : "container",
            };
            spec["process"]!["capabilities"]!["bounding"]!.AsArray().Add("CAP_DAC_OVERRIDE");
            spec["process"]!["capabilities"]!["effective"]!.AsArray().Add("CAP_DAC_OVERRIDE");
            spec["process"]!["capabilities"]!["permitted"]!.AsArray().Add("CAP_DAC_OVERRIDE");
            spec["linux"]!["resources"] = new JsonObject { ["devices"] = rules };
            spec["linux"]!["devices"] = nodes;
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
