using System.Diagnostics;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>An OCI command line with a root directory of its own: ours or runc's, so that each case is tested too.</summary>
internal sealed class OciRuntime(string name, string root)
{
    private static readonly string Repository = FindRepository();

    public bool IsKataLike => name == "katalike";

    public string Program => IsKataLike ? $"{Repository}/out/bin/katalike" : $"/usr/sbin/{name}";

    public string Root => root;

    /// <summary>For the cases that boot machines: what else must have been built.</summary>
    public bool CanBoot => !IsKataLike || (File.Exists($"{Repository}/out/share/katalike/vmlinux") && File.Exists($"{Repository}/out/share/katalike/initrd"));

    public void Require(bool boots = true)
    {
        Skip.IfNot(Environment.UserName == "root", "needs root");
        Skip.IfNot(File.Exists(Program), $"{Program} is not there: ./dev build, or install {name}");
        Skip.IfNot(!boots || CanBoot, "out/share/katalike has no vmlinux or initrd: ./dev build");
        Skip.IfNot(File.Exists("/bin/busybox"), "/bin/busybox is not there: install busybox-static");
    }

    public Task<CommandResult> RunAsync(params string[] arguments) => RunAsync([], arguments);

    public Task<CommandResult> RunAsync(byte[] input, params string[] arguments) =>
        HostCommand.RunAsync(Program, ["--root", root, .. arguments], input);

    /// <summary>For what leaves a process behind: its streams are files, as their ends would otherwise be waited for.</summary>
    public Task<CommandResult> DetachAsync(params string[] arguments) => HostCommand.RunAsync(
        "/bin/sh", ["-c", "out=$1; shift; \"$@\" </dev/null >\"$out\" 2>&1; status=$?; cat \"$out\" >&2; exit $status", "sh", $"{root}.out", Program, "--root", root, .. arguments]);

    public Process Start(params string[] arguments) => Process.Start(new ProcessStartInfo(Program, ["--root", root, .. arguments])
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;

    private static string FindRepository()
    {
        var directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "KataLike.sln")))
            directory = Path.GetDirectoryName(directory)!;
        return directory;
    }
}
