using System.Diagnostics;

namespace KataLike.Benchmarks;

/// <summary>An OCI runtime and the flags that it needs to work on this machine.</summary>
internal sealed record ContainerRuntime(string Name, string Program, IReadOnlyList<string> Flags)
{
    /// <summary>Ours, and those of the others that are installed.</summary>
    public static IReadOnlyList<ContainerRuntime> Installed(string repository)
    {
        ContainerRuntime[] all =
        [
            new("katalike", $"{repository}/out/bin/katalike", []),
            new("runc", "runc", []),
            // Without cgroups: crun refuses machines that have both versions of them mounted.
            new("crun", "crun", ["--cgroup-manager=disabled"]),
            // ptrace works where KVM does not; cgroups and network as crun and the bundle have it.
            new("runsc", "runsc", ["--platform=ptrace", "--network=none", "--ignore-cgroups"]),
        ];
        var path = Environment.GetEnvironmentVariable("PATH")!.Split(':');
        return
        [
            .. from runtime in all
               let program = path.Select(directory => Path.Combine(directory, runtime.Program)).FirstOrDefault(File.Exists)
               where program is not null
               select runtime with { Program = program },
        ];
    }

    public string Version
    {
        get
        {
            using var process = Process.Start(new ProcessStartInfo(Program, ["--version"]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var text = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return text.Split('\n')[0].Trim();
        }
    }

    public IReadOnlyList<string> Command(string root, params string[] arguments) => [Program, "--root", root, .. Flags, .. arguments];
}
