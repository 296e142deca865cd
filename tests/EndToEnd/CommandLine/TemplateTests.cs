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
        var template = Assert.Single(System.IO.Directory.GetFiles(Store));
        using (var file = File.OpenWrite(template))
        {
            file.Position = file.Length - 5000;
            file.Write("damage"u8);
        }
        var result = await runtime.RunAsync("--config", config, "run", "--bundle", Bundle("cat", "/proc/uptime").Path, Id);
        AssertOk(result);
        Assert.True(double.Parse(result.Text.Split(' ')[0], CultureInfo.InvariantCulture) < 12, result.Text);
        Assert.False(File.Exists(template));
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
        await Eventually.HoldsAsync(() => Task.FromResult(System.IO.Directory.Exists(Store) && System.IO.Directory.GetFiles(Store).Length == 1), "there is a template");
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
