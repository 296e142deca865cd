using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>Pods under the containerd of later Debian releases: 1.7 and 2.x, the latter also by its Sandbox API.</summary>
public sealed class OtherContainerdTests
{
    [SkippableTheory]
    [InlineData("trixie", "v1.7.", CriNode.KataLike)]
    [InlineData("sid", "v2.", CriNode.KataLike)]
    [InlineData("sid", "v2.", CriNode.KataLikeSandbox)]
    public Task A_pod_goes_through_its_life(string suite, string version, string handler) =>
        WithAsync(suite, version, node => PodLifecycleTests.LifeAsync(node, handler));

    [SkippableTheory]
    [InlineData("sid", "v2.", CriNode.KataLikeSandbox)]
    public Task A_pod_may_share_its_processes(string suite, string version, string handler) =>
        WithAsync(suite, version, node => PodSharingTests.ProcessesAsync(node, handler, "/pause"));

    private static async Task WithAsync(string suite, string version, Func<CriNode, Task> test)
    {
        var fetched = await HostCommand.RunAsync(Repository.Path("tests/EndToEnd/Cri/fetch-containerd"), [suite]);
        Skip.If(fetched.ExitCode != 0, $"Debian's {suite} cannot be had: {fetched.Error}");
        var node = new CriNode(fetched.Text);
        Skip.If(node.Missing is not null, node.Missing);
        await node.InitializeAsync();
        try
        {
            var runs = $"v{(await node.Cri.VersionAsync()).RuntimeVersion.TrimStart('v')}";
            Skip.IfNot(runs.StartsWith(version, StringComparison.Ordinal), $"Debian's {suite} has containerd {runs} now");
            await test(node);
        }
        finally
        {
            await node.DisposeAsync();
        }
    }
}
