using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>Files of the host that change while a container has them.</summary>
public sealed class UpdateTests : CommandLineCase
{
    private const UnixFileMode ForOwner = UnixFileMode.UserRead, ForAll = ForOwner | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_configmap_changes_under_a_reader_and_a_watcher(string name)
    {
        var runtime = Runtime(name);
        var volume = new AtomicWriter($"{Directory}/volume");
        volume.Write(ForAll, ("key", "one"), ("gone", "x"), ("sub/deep", "d1"));
        var bundle = Bundle();
        await Watcher.InstallAsync(bundle);
        bundle.Write(["watch", "/volume", "/volume/key"], spec => Mount(spec, volume.Path, "/volume", "ro"));
        using var run = runtime.Start("run", "--bundle", bundle.Path, Id);
        Assert.Equal("watching", await run.StandardOutput.ReadLineAsync());
        Assert.Equal("one\nx\nd1", await ReadAsync(runtime, "for file in key gone sub/deep; do echo $(cat /volume/$file); done"));

        volume.Write(ForOwner, ("key", "two"), ("new", "y"), ("sub/deep", "d2"));
        var written = Stopwatch.StartNew();
        Assert.Equal("..data: two", await run.StandardOutput.ReadLineAsync());
        Assert.True(written.Elapsed < TimeSpan.FromSeconds(2), $"a change came after {written.Elapsed}");
        Assert.Equal($"{volume.Data}\ntwo\ny\nd2", await ReadAsync(runtime, "busybox readlink /volume/..data; for file in key new sub/deep; do echo $(cat /volume/$file); done"));
        Assert.Equal("400 0 0", await ReadAsync(runtime, "busybox stat -L -c '%a %u %g' /volume/key"));
        await Eventually.HoldsAsync(async () => await ReadAsync(runtime, "echo $(ls -A /volume)") == $"{volume.Data} ..data key new sub", "what is old is gone");

        for (var version = 3; version < 10; version++)
        {
            volume.Write(ForAll, ("key", $"{version}"));
            Assert.Equal($"..data: {version}", await run.StandardOutput.ReadLineAsync());
        }
        AssertOk(await runtime.RunAsync("kill", Id, "KILL"));
        await run.WaitForExitAsync();
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    /// <summary>Pages that held the one program come to hold the other (decision 18).</summary>
    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_program_that_is_replaced_is_the_one_that_runs(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle("sleep", "1000");
        var programs = new[] { await CompileAsync(1), await CompileAsync(2) };
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));
        for (var round = 0; round < 6; round++)
        {
            File.Copy(programs[round % 2], $"{bundle.Rootfs}/program", overwrite: true);
            // A guest may go on with what it knows of a file for a second (decision 15).
            await Task.Delay(TimeSpan.FromSeconds(1.1));
            var result = await runtime.RunAsync("exec", Id, "/program");
            Assert.True(result.ExitCode == round % 2 + 1, $"round {round}: {result}");
        }
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    /// <summary>A program of 3,000 functions, whose places depend on the number that they all, and it, return.</summary>
    private async Task<string> CompileAsync(int number)
    {
        var (source, path) = ($"{Directory}/{number}.c", $"{Directory}/program-{number}");
        await File.WriteAllLinesAsync(source,
        [
            .. Enumerable.Range(0, 3000).Select(i => $"static int f{i}(volatile int x) {{ return (x{string.Concat(Enumerable.Repeat(" + x", i * number % 5))}) * 0 + {number}; }}"),
            $"int main(void) {{ return {string.Join(" && ", Enumerable.Range(0, 3000).Select(i => $"f{i}({i}) == {number}"))} ? {number} : 99; }}",
        ]);
        var gcc = await HostCommand.RunAsync("gcc", ["-static", "-O0", "-w", "-o", path, source]);
        Assert.True(gcc.ExitCode == 0, gcc.ToString());
        return path;
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Other_mounts_stay_the_hosts_own(string name)
    {
        var runtime = Runtime(name);
        var (large, written) = (new AtomicWriter($"{Directory}/large"), new AtomicWriter($"{Directory}/written"));
        var content = new string('x', 40 << 20);
        large.Write(ForAll, ("key", content));
        written.Write(ForAll | UnixFileMode.UserWrite, ("key", "of the host"));
        System.IO.Directory.CreateDirectory($"{Directory}/plain");
        await File.WriteAllTextAsync($"{Directory}/plain/file", "before");
        await File.WriteAllTextAsync($"{Directory}/single", "before");
        var bundle = Bundle();
        bundle.Write(["sleep", "1000"], spec =>
        {
            Mount(spec, large.Path, "/large", "ro");
            Mount(spec, written.Path, "/written");
            Mount(spec, $"{written.Path}/{written.Data}/key", "/key", "ro");
            Mount(spec, $"{Directory}/plain", "/plain", "ro");
            Mount(spec, $"{Directory}/single", "/single");
        });
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));

        // More than the guest keeps a copy of.
        var sum = Convert.ToHexStringLower(SHA256.HashData(System.Text.Encoding.ASCII.GetBytes(content)));
        Assert.StartsWith(sum, await ReadAsync(runtime, "sha256sum /large/key"), StringComparison.Ordinal);
        // Not read-only: what the container writes is to reach the host.
        Assert.Equal("", await ReadAsync(runtime, "echo of the container >/written/key && echo here >/single"));
        Assert.Equal(("of the container\n", "here\n"), (await File.ReadAllTextAsync($"{written.Path}/key"), await File.ReadAllTextAsync($"{Directory}/single")));
        // subPath: the file that it was at the start, as with every runtime.
        Assert.Equal("of the container", await ReadAsync(runtime, "cat /key"));
        written.Write(ForAll, ("key", "new"));
        await Eventually.HoldsAsync(async () => await ReadAsync(runtime, "cat /written/key") == "new", "the swap is seen");
        Assert.Equal("of the container", await ReadAsync(runtime, "cat /key"));

        await File.WriteAllTextAsync($"{Directory}/plain/file", "after");
        await Eventually.HoldsAsync(async () => await ReadAsync(runtime, "cat /plain/file") == "after", "a change in place is seen");
        // A file that is mounted alone stays the one that was mounted, when another takes its name.
        await File.WriteAllTextAsync($"{Directory}/single.new", "after");
        File.Move($"{Directory}/single.new", $"{Directory}/single", overwrite: true);
        Assert.Equal("here", await ReadAsync(runtime, "cat /single"));
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    private static void Mount(JsonNode spec, string source, string destination, params string[] options) =>
        spec["mounts"]!.AsArray().Add(new JsonObject
        {
            ["destination"] = destination,
            ["type"] = "bind",
            ["source"] = source,
            ["options"] = new JsonArray([.. options.Prepend("rprivate").Prepend("rbind").Select(option => JsonValue.Create(option))]),
        });

    private async Task<string> ReadAsync(OciRuntime runtime, string script)
    {
        var read = await runtime.RunAsync("exec", Id, "sh", "-c", script);
        AssertOk(read);
        return read.Text;
    }
}
