namespace KataLike.EndToEnd.Tests.Podman;

/// <summary>buildah run and bud with the runtime as their --runtime.</summary>
public sealed class BuildahTests(PodmanEngine podman) : PodmanCase(podman)
{
    private readonly PodmanEngine engine = podman;

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Commands_of_a_build_run_and_leave_their_files(string runtime)
    {
        Skip.IfNot(File.Exists("/usr/bin/buildah"), "buildah is not installed");
        string[] isolation = ["--runtime", PodmanEngine.Program(runtime), "--isolation", "oci", "--network", "none"];
        AssertOk(await engine.BuildahAsync("from", "--name", Name, PodmanEngine.Image));
        var run = await engine.BuildahAsync(["run", .. isolation, Name, "sh", "-c", "echo out; echo made > /made; exit 4"]);
        Assert.True(run is { ExitCode: 4, Text: "out" }, run.ToString());
        AssertText("made", await engine.BuildahAsync(["run", .. isolation, Name, "cat", "/made"]));
        AssertOk(await engine.BuildahAsync("rm", Name));

        await File.WriteAllTextAsync($"{Directory}/Dockerfile", $"FROM {PodmanEngine.Image}\nRUN echo built > /built\n");
        AssertOk(await engine.BuildahAsync(["bud", .. isolation, "-t", $"localhost/{Name}", Directory]));
        AssertText("built", await PodmanAsync(runtime, "run", "--rm", "--network", "none", $"localhost/{Name}", "cat", "/built"));
        AssertOk(await engine.BuildahAsync("rmi", $"localhost/{Name}"));
    }
}
