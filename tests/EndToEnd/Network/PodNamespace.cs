using System.Diagnostics;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Network;

/// <summary>A network namespace that a process holds, as a caller of the runtime makes it for a pod.</summary>
internal sealed class PodNamespace : IAsyncDisposable
{
    private readonly Process _holder;

    private PodNamespace(Process holder) => _holder = holder;

    public string Path => $"/proc/{_holder.Id}/ns/net";

    public static async Task<PodNamespace> MakeAsync()
    {
        var holder = Process.Start(new ProcessStartInfo("unshare", ["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"])
        {
            RedirectStandardOutput = true,
        })!;
        Assert.Equal("ready", await holder.StandardOutput.ReadLineAsync());
        return new PodNamespace(holder);
    }

    public async Task<string> RunAsync(params string[] command)
    {
        var result = await HostCommand.RunAsync("nsenter", [$"--net={Path}", "--", .. command]);
        Assert.True(result.ExitCode == 0, result.ToString());
        return result.Text;
    }

    /// <summary>Its interfaces, and what looks at their packets: what a runtime must leave as it found it.</summary>
    public async Task<string> StateAsync() =>
        $"{await RunAsync("sh", "-c", "ip -o link | sed 's/ state .*//'")}\n{await RunAsync("tc", "qdisc")}";

    /// <summary>The processes that are in it beside the one that holds it.</summary>
    public IReadOnlyList<string> Users()
    {
        var own = File.ResolveLinkTarget(Path, returnFinalTarget: false)!.Name;
        return [.. Directory.GetDirectories("/proc").Where(process => char.IsAsciiDigit(System.IO.Path.GetFileName(process)[0])
            && process != $"/proc/{_holder.Id}" && new FileInfo($"{process}/ns/net").LinkTarget is { } target && target.EndsWith(own, StringComparison.Ordinal))];
    }

    public async ValueTask DisposeAsync()
    {
        _holder.Kill();
        await _holder.WaitForExitAsync();
        _holder.Dispose();
    }
}
