using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public sealed class HostHooksTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-hooks-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private State State => new()
    {
        OciVersion = "1.3.0",
        Id = "c1",
        Pid = 42,
        Status = "creating",
        Bundle = _directory,
        Annotations = new Dictionary<string, string> { ["k"] = "v" },
    };

    [Fact]
    public async Task AHookReadsTheStateAndHasItsArgumentsEnvironmentAndDirectory()
    {
        await HostHooks.RunAsync("prestart", [Shell("cat > state; echo $0 $A > words", "A=1")], State);
        Assert.Equal(
            """{"ociVersion":"1.3.0","id":"c1","pid":42,"status":"creating","bundle":"DIR","annotations":{"k":"v"}}""".Replace("DIR", _directory, StringComparison.Ordinal),
            File.ReadAllText($"{_directory}/state"));
        Assert.Equal("hook 1\n", File.ReadAllText($"{_directory}/words"));
    }

    [Fact]
    public async Task TheFirstThatFailsIsNamedAndKeepsTheRestFromRunning()
    {
        var failure = await FailAsync(Shell("echo one > ran"), Shell("echo out; echo wrong >&2; exit 3"), Shell("echo three > ran"));
        Assert.Equal("error running createRuntime hook #1: exit status 3, stdout: out, stderr: wrong", failure);
        Assert.Equal("one\n", File.ReadAllText($"{_directory}/ran"));
        Assert.Equal("error running createRuntime hook #0: signal: 15, stdout: , stderr: ", await FailAsync(Shell("kill $$")));
        Assert.Contains("/no/such/hook", await FailAsync(new Hook { Path = "/no/such/hook" }), StringComparison.Ordinal);
    }

    [Fact]
    public async Task OneThatRunsTooLongIsKilled()
    {
        Assert.Equal(
            "error running createRuntime hook #0: hook ran past specified timeout of 1.0s",
            await FailAsync(Shell("exec sleep 1000") with { Timeout = 1 }));
    }

    [Fact]
    public async Task AChildThatItLeavesBehindIsNotWaitedFor()
    {
        await HostHooks.RunAsync("prestart", [Shell("sleep 1000 & echo $! > child")], State);
        var child = int.Parse(File.ReadAllText($"{_directory}/child"), System.Globalization.CultureInfo.InvariantCulture);
        Assert.True(KataLike.Linux.Processes.Kill(child, 9));
    }

    [Fact]
    public async Task APoststopHookThatFailsIsAWarningAndTheOthersRun()
    {
        var warnings = new List<string>();
        await HostHooks.RunPoststopAsync([Shell("exit 1"), Shell("echo ran > ran")], State, warnings.Add);
        Assert.Equal(["error running poststop hook #0: exit status 1, stdout: , stderr: "], warnings);
        Assert.True(File.Exists($"{_directory}/ran"));
    }

    private async Task<string> FailAsync(params Hook[] hooks) =>
        (await Assert.ThrowsAsync<RuntimeException>(() => HostHooks.RunAsync("createRuntime", hooks, State))).Message;

    private static Hook Shell(string script, params string[] environment) => new()
    {
        Path = "/bin/sh",
        Args = ["sh", "-c", script, "hook"],
        Env = ["PATH=/bin:/usr/bin", .. environment],
    };
}
