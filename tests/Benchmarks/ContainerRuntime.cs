using System.Diagnostics;

namespace KataLike.Benchmarks;

/// <summary>An OCI runtime and the flags that it needs to work on this machine.</summary>
/// <param name="Variant">Ours with a configuration of its own; null: as it is without one.</param>
internal sealed record ContainerRuntime(string Name, string Program, IReadOnlyList<string> Flags, string? Variant = null)
{
    private const string Ours = "katalike";
    private const string Unified = "/sys/fs/cgroup/unified";

    /// <summary>What the program is run by, where it does not like the machine as it is.</summary>
    private IReadOnlyList<string> Wrapper { get; init; } = [];

    /// <summary>Its sandboxes take machines that wait: pool.toml.</summary>
    public bool TakesFromPool => Variant == "pool";

    /// <summary>From which its sandboxes take their machines; null: they start them.</summary>
    public MachinePool? Pool { get; init; }

    /// <summary>What results call it.</summary>
    public string Title => Variant is null ? Name : $"{Name}, {Variant}";

    /// <summary>What --only calls it.</summary>
    public string Key => Variant ?? Name;

    public bool IsOurs => Name == Ours;

    /// <summary>Ours, its variants (each file of Variants is the configuration of one), and those of the others that are installed.</summary>
    public static IReadOnlyList<ContainerRuntime> Installed(string repository)
    {
        var (ours, variants) = ($"{repository}/out/bin/{Ours}", $"{repository}/tests/Benchmarks/Variants");
        ContainerRuntime[] all =
        [
            new(Ours, ours, []),
            .. from file in Directory.Exists(variants) ? Directory.GetFiles(variants, "*.toml").Order().ToArray() : []
               select new ContainerRuntime(Ours, ours, ["--config", file], Path.GetFileNameWithoutExtension(file)),
            new("runc", "runc", []),
            // crun refuses machines that have both versions of cgroups mounted, and otherwise would leave the scope's.
            new("crun", "crun", ["--cgroup-manager=disabled"])
            {
                Wrapper = Directory.Exists(Unified) ? ["unshare", "--mount", "sh", "-c", $"umount {Unified} && exec \"$0\" \"$@\""] : [],
            },
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

    /// <summary>As results show them: without the paths of this machine.</summary>
    public IEnumerable<string> ShownFlags => Flags.Select(flag => Path.GetFileName(flag));

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

    /// <summary>A command, once nothing goes on that would disturb it.</summary>
    public IReadOnlyList<string> Command(string root, params string[] arguments)
    {
        Pool?.Await();
        return [.. Wrapper, Program, "--root", root, .. Flags, .. arguments];
    }
}
