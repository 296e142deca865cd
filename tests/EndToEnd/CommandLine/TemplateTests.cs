using System.Globalization;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>Sandboxes as copies of a saved machine, with templates of the case's own.</summary>
public sealed class TemplateTests : CommandLineCase
{
    // What must differ between two machines, and the sign of a copy: a clock that has run since before the sandbox was asked for.
    private const string Identity = "cat /proc/sys/kernel/random/boot_id; dd if=/dev/urandom bs=32 count=1 2>/dev/null | sha256sum; cat /proc/sys/kernel/random/uuid; cat /proc/uptime; date +%s";

    /// <summary>How many copies are compared: KATALIKE_COPIES=200 takes some minutes.</summary>
    private static readonly int Copies = int.Parse(Environment.GetEnvironmentVariable("KATALIKE_COPIES") ?? "12", CultureInfo.InvariantCulture);

    private string Store => $"{Directory}/templates";

    [SkippableFact]
    public async Task No_two_copies_have_an_identity_in_common()
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        var bundle = Bundle("sh", "-c", Identity);
        var seen = new HashSet<string>();
        foreach (var batch in Enumerable.Range(0, Copies).Chunk(Math.Max(4, Copies / 10)))
        {
            foreach (var result in await Task.WhenAll(batch.Select(i => runtime.RunAsync("--config", config, "run", "--bundle", bundle.Path, $"{Id}-{i}"))))
            {
                AssertOk(result);
                var lines = result.Text.Split('\n');
                Assert.All(lines[..3], line => Assert.True(seen.Add(line), $"twice: {line}"));
                // The template had waited for twelve seconds when it was saved.
                Assert.True(double.Parse(lines[3].Split(' ')[0], CultureInfo.InvariantCulture) > 12, $"no copy: {result.Text}");
                Assert.InRange(long.Parse(lines[4], CultureInfo.InvariantCulture), DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 60, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 1);
            }
        }
        Assert.Equal(3 * Copies, seen.Count);
    }

    [SkippableFact]
    public async Task A_damaged_template_is_thrown_away_and_the_sandbox_boots()
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        foreach (var template in System.IO.Directory.GetFiles(Store))
            Damage(template, fromEnd: 5000);
        var result = await runtime.RunAsync("--config", config, "run", "--bundle", Bundle("cat", "/proc/uptime").Path, Id);
        AssertOk(result);
        Assert.True(double.Parse(result.Text.Split(' ')[0], CultureInfo.InvariantCulture) < 12, result.Text);
        Assert.Empty(System.IO.Directory.GetFiles(Store));
    }

    [SkippableTheory]
    [InlineData(5000)] // the guest's memory
    [InlineData(40 << 20)] // the process's memory, as long as the guest's is smaller
    public async Task A_damaged_process_is_thrown_away_and_the_sandbox_is_a_copy_all_the_same(long fromEnd)
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        var process = Process();
        Damage(process, fromEnd);
        var result = await runtime.RunAsync("--config", config, "run", "--bundle", Bundle("cat", "/proc/uptime").Path, Id);
        AssertOk(result);
        Assert.True(double.Parse(result.Text.Split(' ')[0], CultureInfo.InvariantCulture) > 12, result.Text);
        Assert.False(File.Exists(process));
        Assert.Single(System.IO.Directory.GetFiles(Store));
    }

    [SkippableFact]
    public async Task A_copy_of_the_process_is_confined_as_the_first_one_was()
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        var process = Process();
        AssertOk(await runtime.DetachAsync("--config", config, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        var record = Assert.Single(System.IO.Directory.GetFiles(Directory, "sandbox.json", SearchOption.AllDirectories));
        var pid = (int)System.Text.Json.Nodes.JsonNode.Parse(await File.ReadAllTextAsync(record))!["hypervisorPid"]!;
        Assert.Contains(process, await File.ReadAllTextAsync($"/proc/{pid}/maps"), StringComparison.Ordinal);
        Assert.StartsWith("qemu-system", await File.ReadAllTextAsync($"/proc/{pid}/comm"), StringComparison.Ordinal);
        Assert.Contains($"-name\0{Id}\0", await File.ReadAllTextAsync($"/proc/{pid}/cmdline"), StringComparison.Ordinal);
        foreach (var thread in System.IO.Directory.GetDirectories($"/proc/{pid}/task"))
        {
            var status = await File.ReadAllLinesAsync($"{thread}/status");
            Assert.Contains("Seccomp:\t2", status);
            Assert.Contains("NoNewPrivs:\t1", status);
        }
        // What it was made with is closed.
        Assert.DoesNotContain(System.IO.Directory.GetFileSystemEntries($"/proc/{pid}/fd"), path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture) >= 200);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task Copies_of_the_process_have_random_devices_of_their_own()
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        _ = Process();
        var bundle = Bundle();
        bundle.Write(
            ["sh", "-c", "dd if=/dev/hwrng bs=32 count=1 2>/dev/null | sha256sum; grep -cwE 'rdrand|rdseed' /proc/cpuinfo"],
            spec =>
            {
                spec["linux"]!["devices"] = new System.Text.Json.Nodes.JsonArray(
                    new System.Text.Json.Nodes.JsonObject { ["path"] = "/dev/hwrng", ["type"] = "c", ["major"] = 10, ["minor"] = 183 });
                spec["linux"]!["resources"] = new System.Text.Json.Nodes.JsonObject
                {
                    ["devices"] = new System.Text.Json.Nodes.JsonArray(new System.Text.Json.Nodes.JsonObject { ["allow"] = true, ["access"] = "rwm" }),
                };
            });
        var seen = new HashSet<string>();
        for (var i = 0; i < 3; i++)
        {
            var result = await runtime.RunAsync("--config", config, "run", "--bundle", bundle.Path, $"{Id}-{i}");
            var lines = result.Text.Split('\n');
            Assert.NotEqual("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -", lines[0]); // of nothing
            Assert.True(seen.Add(lines[0]), $"twice: {lines[0]}");
            // A generator of QEMU's would be the same in all of them.
            Assert.Equal("0", lines[1]);
        }
    }

    [SkippableFact]
    public async Task A_copy_of_the_process_has_no_memory_of_its_own_for_the_code_of_the_guests_kernel_and_agent()
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        _ = Process();
        AssertOk(await runtime.DetachAsync("--config", config, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        var record = Assert.Single(System.IO.Directory.GetFiles(Directory, "sandbox.json", SearchOption.AllDirectories));
        var pid = (int)System.Text.Json.Nodes.JsonNode.Parse(await File.ReadAllTextAsync(record))!["hypervisorPid"]!;
        const int memory = 6, code = 16 << 20; // the descriptor that QEMU is given, and where an x86-64 kernel begins
        var page = new byte[4096];
        await using (var file = File.OpenRead($"/proc/{pid}/fd/{memory}"))
        {
            file.Position = code;
            await file.ReadExactlyAsync(page);
        }
        Assert.Equal(-1, page.AsSpan().IndexOfAnyExcept((byte)0));
        Assert.False(await HoldsAsync($"/proc/{pid}/fd/{memory}", await PageOfAgentAsync()));
        // A guest that uses all it has writes to the descriptions of nearly all pages.
        var result = await runtime.RunAsync("exec", Id, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=400M count=1 2>&1");
        AssertOk(result);
        Assert.StartsWith("1+0 records in\n1+0 records out", result.Text, StringComparison.Ordinal);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    private static async Task<byte[]> PageOfAgentAsync()
    {
        await using var agent = File.OpenRead(Repository.Path("out/agent/katalike-agent"));
        var page = new byte[4096];
        agent.Position = agent.Length / 2 / page.Length * page.Length;
        await agent.ReadExactlyAsync(page);
        Assert.NotEqual(-1, page.AsSpan().IndexOfAnyExcept((byte)0));
        return page;
    }

    private static async Task<bool> HoldsAsync(string path, byte[] page)
    {
        await using var file = File.OpenRead(path);
        var chunk = new byte[1 << 20];
        for (int length; (length = await file.ReadAtLeastAsync(chunk, chunk.Length, throwOnEndOfStream: false)) > 0;)
        {
            for (var place = 0; place < length; place += page.Length)
            {
                if (chunk.AsSpan(place, page.Length).SequenceEqual(page))
                    return true;
            }
        }
        return false;
    }

    private static void Damage(string path, long fromEnd)
    {
        using var file = File.OpenWrite(path);
        file.Position = file.Length - fromEnd;
        file.Write("damage"u8);
    }

    /// <summary>The saved process, which is larger than the template without one.</summary>
    private string Process()
    {
        var files = new DirectoryInfo(Store).GetFiles().OrderBy(file => file.Length).ToList();
        Skip.If(files.Count == 1, "no process is saved on this host (KVM, or a vsock device of the kernel)");
        Assert.Equal(2, files.Count);
        return files[1].FullName;
    }

    [SkippableFact]
    public async Task A_pod_that_wants_none_boots()
    {
        var runtime = Runtime("katalike");
        var config = await MakeAsync(runtime);
        await File.AppendAllTextAsync(config, "[annotations]\nallowed = [\"template\"]\n");
        var bundle = Bundle();
        bundle.Write(["cat", "/proc/uptime"], spec => spec["annotations"] = new System.Text.Json.Nodes.JsonObject { ["katalike.io/template"] = "false" });
        var result = await runtime.RunAsync("--config", config, "run", "--bundle", bundle.Path, Id);
        AssertOk(result);
        Assert.True(double.Parse(result.Text.Split(' ')[0], CultureInfo.InvariantCulture) < 12, result.Text);
    }

    [SkippableFact]
    public async Task A_sandbox_that_had_to_boot_makes_the_template_for_the_next()
    {
        var runtime = Runtime("katalike");
        var config = await ConfigureAsync();
        AssertOk(await runtime.DetachAsync("--config", config, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        await Eventually.HoldsAsync(() => Task.FromResult(System.IO.Directory.Exists(Store) && System.IO.Directory.GetFiles(Store).Length > 0), "there is a template");
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task A_sandbox_that_ends_takes_the_making_of_its_template_along()
    {
        var runtime = Runtime("katalike");
        var config = await ConfigureAsync();
        AssertOk(await runtime.DetachAsync("--config", config, "run", "-d", "--bundle", Bundle("sleep", "1000").Path, Id));
        await Eventually.HoldsAsync(() => Task.FromResult(System.IO.Directory.Exists($"{Store}/making")), "a template is being made");
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
        await Eventually.HoldsAsync(() => Task.FromResult(!System.IO.Directory.Exists($"{Store}/making")), "what was begun is gone");
    }

    private async Task<string> MakeAsync(OciRuntime runtime)
    {
        var config = await ConfigureAsync();
        var made = await runtime.RunAsync("--config", config, "template");
        AssertOk(made);
        Assert.EndsWith(": made", made.Text, StringComparison.Ordinal);
        return config;
    }

    private async Task<string> ConfigureAsync()
    {
        var config = $"{Directory}/config.toml";
        await File.WriteAllTextAsync(config, $"[template]\ndirectory = \"{Store}\"\n");
        return config;
    }
}
