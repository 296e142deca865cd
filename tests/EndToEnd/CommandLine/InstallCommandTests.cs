using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>katalike install and uninstall, in a mount namespace whose /etc and /var/cache are the case's own.</summary>
public sealed class InstallCommandTests : CommandLineCase
{
    [SkippableFact]
    public async Task What_was_installed_works_and_goes_with_its_template()
    {
        Runtime("katalike");
        await using var pool = MachinePool.In(Directory, 1);
        await pool.StartAsync();

        // What the host has of its own is to stay.
        var list = $"find /var/cache /etc -path '*katalike*'; ls -d {Directory}/prefix 2>/dev/null || :";
        var steps = await InNamespaceAsync($"""
            {list}
            echo ---
            {Repository.Path("out/bin/katalike")} install --prefix {Directory}/prefix --containerd
            echo ---
            ls /var/cache/katalike/templates | wc -l
            {Directory}/prefix/bin/katalike run --bundle {Bundle("echo", "from what was installed").Path} {Id}
            echo ---
            {Directory}/prefix/bin/katalike --config {pool.Configuration} uninstall --prefix {Directory}/prefix
            echo ---
            {list}
            """);

        Assert.Contains($"installed  {Directory}/prefix/bin/katalike\n", steps[1], StringComparison.Ordinal);
        // Under emulation a process goes with it.
        Assert.Matches("^[12]\nfrom what was installed\n$", steps[2]);
        Assert.Contains("removed    /var/cache/katalike/templates\n", steps[3], StringComparison.Ordinal);
        Assert.EndsWith($"to do      systemctl disable --now katalike-pool: a process still keeps machines ready in {Directory}/pool\n", steps[3], StringComparison.Ordinal);
        Assert.Equal(steps[0].Trim(), steps[4].Trim());
    }

    /// <returns>What was printed, divided where a line is "---".</returns>
    private async Task<string[]> InNamespaceAsync(string script)
    {
        var etc = System.IO.Directory.CreateDirectory($"{Directory}/etc").FullName;
        var result = await HostCommand.RunAsync("unshare", ["--mount", "sh", "-ec", $"""
            mount -t tmpfs tmpfs /var/cache
            mount -t tmpfs tmpfs {etc}
            mkdir {etc}/upper {etc}/work
            mount -t overlay -o lowerdir=/etc,upperdir={etc}/upper,workdir={etc}/work overlay /etc
            {script}
            """]);
        AssertOk(result);
        return (result.Text + '\n').Split("---\n");
    }
}
