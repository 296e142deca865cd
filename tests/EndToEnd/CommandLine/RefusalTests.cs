using System.Text.Json;
using System.Text.Json.Nodes;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>What is refused before any machine boots: one line, the exit code of runc, and nothing left behind.</summary>
public sealed class RefusalTests : CommandLineCase
{
    [SkippableTheory]
    [InlineData("runc", 1, "container does not exist", "state", "nope")]
    [InlineData("katalike", 1, "container does not exist", "state", "nope")]
    [InlineData("runc", 1, "container does not exist", "start", "nope")]
    [InlineData("katalike", 1, "container does not exist", "start", "nope")]
    [InlineData("runc", 1, "container does not exist", "kill", "nope", "FOO")]
    [InlineData("katalike", 1, "container does not exist", "kill", "nope", "FOO")]
    [InlineData("runc", 1, "container does not exist", "delete", "nope")]
    [InlineData("katalike", 1, "container does not exist", "delete", "nope")]
    [InlineData("runc", 1, "container does not exist", "ps", "nope")]
    [InlineData("katalike", 1, "container does not exist", "ps", "nope")]
    [InlineData("runc", 1, "container does not exist", "pause", "nope")]
    [InlineData("katalike", 1, "container does not exist", "pause", "nope")]
    [InlineData("runc", 1, "container does not exist", "update", "nope")]
    [InlineData("katalike", 1, "container does not exist", "update", "nope")]
    [InlineData("runc", 1, "container does not exist", "events", "nope")]
    [InlineData("katalike", 1, "container does not exist", "events", "nope")]
    [InlineData("runc", 1, "flag needs an argument: -lsm-mount-context", "restore", "--lsm-mount-context")]
    [InlineData("katalike", 1, "flag needs an argument: -lsm-mount-context", "restore", "--lsm-mount-context")]
    [InlineData("runc", 1, "container does not exist", "checkpoint", "nope")]
    [InlineData("katalike", 1, "container does not exist", "checkpoint", "nope")]
    [InlineData("katalike", 1, "checkpoint and restore are not supported yet", "restore", "nope")]
    [InlineData("katalike", 1, "strconv.ParseBool: parsing \\\"maybe\\\": invalid syntax", "--rootless", "maybe", "list")]
    [InlineData("runc", 255, "exec failed: container does not exist", "exec", "nope", "sh")]
    [InlineData("katalike", 255, "exec failed: container does not exist", "exec", "nope", "sh")]
    [InlineData("runc", 1, "invalid container ID format", "state", "../x")]
    [InlineData("katalike", 1, "invalid container ID format", "state", "../x")]
    [InlineData("runc", 1, "invalid format option", "list", "--format", "bogus")]
    [InlineData("katalike", 1, "invalid format option", "list", "--format", "bogus")]
    [InlineData("runc", 1, "flag provided but not defined: -bogus", "create", "--bogus")]
    [InlineData("katalike", 1, "flag provided but not defined: -bogus", "create", "--bogus")]
    [InlineData("runc", 1, "flag needs an argument: -bundle", "create", "--bundle")]
    [InlineData("katalike", 1, "flag needs an argument: -bundle", "create", "--bundle")]
    [InlineData("runc", 1, "invalid value \\\"x\\\" for flag -preserve-fds: parse error", "create", "--preserve-fds=x", "a")]
    [InlineData("katalike", 1, "invalid value \\\"x\\\" for flag -preserve-fds: parse error", "create", "--preserve-fds=x", "a")]
    [InlineData("runc", 1, "\\\"state\\\" requires exactly 1 argument(s)", "state")]
    [InlineData("katalike", 1, "\\\"state\\\" requires exactly 1 argument(s)", "state")]
    [InlineData("runc", 1, "\\\"exec\\\" requires a minimum of 1 argument(s)", "exec")]
    [InlineData("katalike", 1, "\\\"exec\\\" requires a minimum of 1 argument(s)", "exec")]
    [InlineData("runc", 3, "No help topic for 'bogus'", "bogus")]
    [InlineData("katalike", 3, "No help topic for 'bogus'", "bogus")]
    [InlineData("runc", 1, "chdir /nodir: no such file or directory", "create", "--bundle", "/nodir", "a")]
    [InlineData("katalike", 1, "chdir /nodir: no such file or directory", "create", "--bundle", "/nodir", "a")]
    public async Task A_command_without_a_bundle_is_refused(string name, int exitCode, string words, params string[] arguments) =>
        AssertRefused(await Runtime(name, boots: false).RunAsync(arguments), exitCode, words);

    [SkippableTheory]
    [InlineData("katalike", "{\"ociVersion\": 5", "/config.json: $")]
    [InlineData("katalike", "{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": \"x\", \"cwd\": \"/\"}}", "$.process.args")]
    [InlineData("katalike", "{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": [\"x\"], \"cwd\": \"\"}}", "$.process.cwd")]
    [InlineData("katalike", "{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": [\"x\"], \"cwd\": \"/\"}}", "$.root")]
    [InlineData("runc", "{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": \"x\", \"cwd\": \"/\"}}", "process.args")]
    [InlineData("runc", "{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": [\"x\"], \"cwd\": \"/\"}}", "root must be specified")]
    public async Task An_invalid_config_is_refused_by_its_path(string name, string config, string words)
    {
        var runtime = Runtime(name, boots: false);
        var bundle = Bundle("true");
        File.WriteAllText($"{bundle.Path}/config.json", config);
        AssertRefused(await runtime.RunAsync("create", "--bundle", bundle.Path, Id), 1, words);
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_bundle_that_lacks_a_part_or_contradicts_the_options_is_refused(string name)
    {
        var runtime = Runtime(name, boots: false);
        var bundle = Bundle("true");
        string[] create = ["create", "--bundle", bundle.Path];

        AssertRefused(await runtime.RunAsync([.. create, "a/b"]), 1, "invalid container ID format");
        AssertRefused(await runtime.RunAsync([.. create, ""]), 1, "container id cannot be empty");
        AssertRefused(await runtime.RunAsync([.. create, "--console-socket", "/nodir/s", Id]), 1, "cannot use console socket");
        bundle.Write(["true"], spec => spec["process"]!["terminal"] = true);
        AssertRefused(await runtime.RunAsync([.. create, Id]), 1, "cannot allocate tty");
        bundle.Write(["true"], spec => spec["root"]!["path"] = "nope");
        AssertRefused(await runtime.RunAsync([.. create, Id]), 1, $"invalid rootfs: stat {bundle.Path}/nope: no such file or directory");
        File.Delete($"{bundle.Path}/config.json");
        AssertRefused(await runtime.RunAsync([.. create, Id]), 1, "config.json");

        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableFact]
    public async Task Descriptors_cannot_enter_the_machine()
    {
        var runtime = Runtime("katalike", boots: false);
        AssertRefused(await runtime.RunAsync("create", "--preserve-fds", "1", "--bundle", Bundle("true").Path, Id), 1, "--preserve-fds is not supported");
    }

    [SkippableFact]
    public async Task A_machine_of_the_bundles_choice_is_refused_with_the_key_to_set()
    {
        var runtime = Runtime("katalike");
        var bundle = Bundle();
        bundle.Write(["true"], spec => spec["vm"] = JsonNode.Parse("""{"kernel": {"path": "/boot/other"}}"""));
        AssertRefused(
            await runtime.RunAsync("run", "--bundle", bundle.Path, Id), 1,
            "$.vm.kernel.path: /boot/other is not allowed: add it to kernel_paths in section [vm] of /etc/katalike/config.toml");
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Lists_without_a_container_are_runcs(string name)
    {
        var runtime = Runtime(name, boots: false);
        Assert.Equal("null", (await runtime.RunAsync("list", "-f", "json")).Text.Split('\n')[0]);
        Assert.Equal("", (await runtime.RunAsync("list", "-f", "json", "-q")).Text);
    }

    [SkippableTheory]
    [InlineData("hypervisor", "qemu", "/no/qemu")]
    [InlineData("guest", "kernel", "/no/kernel")]
    [InlineData("guest", "initrd", "/no/initrd")]
    public async Task What_the_machine_needs_is_named_when_it_is_missing(string section, string key, string path)
    {
        var runtime = Runtime("katalike");
        var bundle = Bundle("true");
        var configuration = $"{Directory}/config.toml";
        File.WriteAllText(configuration, $"[{section}]\n{key} = \"{path}\"\n");
        AssertRefused(await runtime.RunAsync("--config", configuration, "run", "--bundle", bundle.Path, Id), 1, path);
        Assert.Equal("", (await runtime.RunAsync("list", "-q")).Text);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task The_log_is_a_file_of_JSON_and_the_error_is_said_plainly_too(string name)
    {
        var runtime = Runtime(name, boots: false);
        var result = await runtime.RunAsync("--log", $"{Directory}/log", "--log-format=json", "state", "nope");
        Assert.True(result.ExitCode == 1 && result.Error == "container does not exist\n", result.ToString());
        var entry = JsonNode.Parse(File.ReadAllText($"{Directory}/log"))!;
        Assert.Equal(("error", "container does not exist"), ((string?)entry["level"], (string?)entry["msg"]));

        await runtime.RunAsync("--log", $"{Directory}/text", "state", "nope");
        Assert.EndsWith("level=error msg=\"container does not exist\"\n", File.ReadAllText($"{Directory}/text"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Help_version_and_features_are_there(string name)
    {
        var runtime = Runtime(name, boots: false);
        foreach (var command in (string[])["create", "start", "state", "kill", "delete", "run", "exec", "list", "ps", "spec", "features", "pause", "resume", "update", "events", "checkpoint", "restore"])
        {
            var help = await runtime.RunAsync(command, "--help");
            Assert.True(help.ExitCode == 0 && help.Text.StartsWith($"NAME:\n   {name} {command} - ", StringComparison.Ordinal), help.ToString());
        }
        var version = await runtime.RunAsync("--version");
        Assert.Matches($"^{name} version .+\ncommit: .+\nspec: 1\\..+", version.Text);
        using var features = JsonDocument.Parse((await runtime.RunAsync("features")).Text);
        Assert.Equal("1.0.0", features.RootElement.GetProperty("ociVersionMin").GetString());
    }

    [SkippableFact]
    public async Task The_starter_spec_is_runcs()
    {
        var ours = Directory + "/ours";
        var theirs = Directory + "/theirs";
        System.IO.Directory.CreateDirectory(ours);
        System.IO.Directory.CreateDirectory(theirs);
        foreach (string[] options in (string[][])[[], ["--rootless"]])
        {
            AssertOk(await Runtime("katalike", boots: false).RunAsync(["spec", "--bundle", ours, .. options]));
            AssertOk(await Runtime("runc", boots: false).RunAsync(["spec", "--bundle", theirs, .. options]));
            Assert.Equal(
                File.ReadAllText($"{theirs}/config.json").Replace("\"hostname\": \"runc\"", "\"hostname\": \"katalike\"", StringComparison.Ordinal),
                File.ReadAllText($"{ours}/config.json"));
            AssertRefused(await Runtime("katalike", boots: false).RunAsync("spec", "--bundle", ours), 1, "File config.json exists. Remove it first");
            File.Delete($"{ours}/config.json");
            File.Delete($"{theirs}/config.json");
        }
    }
}
