using KataLike.Contract.Oci;

namespace KataLike.Runtime.Cli.Commands;

internal static class SpecCommand
{
    public static Command Command { get; } = new("spec", "create a new specification file", RunAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags =
        [
            Flag.Text("bundle, b", "path to the root of the bundle directory"),
            Flag.Boolean("rootless", "generate a configuration for a rootless container"),
        ],
        Description = """
            The spec command creates the new specification file named "config.json" for the bundle. It is a starter file:
            it runs "sh" from the directory "rootfs".
            """,
    };

    private static Task<int> RunAsync(Invocation invocation)
    {
        var bundle = invocation.Options.Text("bundle") ?? ".";
        if (!Directory.Exists(bundle))
            throw new RuntimeException($"chdir {bundle}: no such file or directory");
        var spec = Spec.Default() with { Hostname = "katalike" };
        if (invocation.Options.Boolean("rootless"))
            spec = Rootless(spec);
        try
        {
            using var file = new FileStream(Path.Combine(bundle, "config.json"), FileMode.CreateNew);
            file.Write(System.Text.Encoding.UTF8.GetBytes(spec.ToJson()));
        }
        catch (IOException e) when (File.Exists(Path.Combine(bundle, "config.json")))
        {
            throw new RuntimeException("File config.json exists. Remove it first", cause: e);
        }
        return Task.FromResult(0);
    }

    /// <summary>As runc's --rootless: a user namespace, no network namespace, and no resources.</summary>
    private static Spec Rootless(Spec spec) => spec with
    {
        Mounts = [.. spec.Mounts!.Select(m => m.Destination == "/sys"
            ? m with { Type = "none", Source = "/sys", Options = ["rbind", "nosuid", "noexec", "nodev", "ro"] }
            : m with { Options = m.Options?.Where(o => !o.StartsWith("gid=", StringComparison.Ordinal) && !o.StartsWith("uid=", StringComparison.Ordinal)).ToList() })],
        Linux = spec.Linux! with
        {
            Resources = null,
            Namespaces = [.. spec.Linux!.Namespaces!.Where(n => n.Type != "network"), new Namespace { Type = "user" }],
            UidMappings = [new IdMapping { ContainerId = 0, HostId = KataLike.Linux.PeerCredentials.OwnUser, Size = 1 }],
            GidMappings = [new IdMapping { ContainerId = 0, HostId = KataLike.Linux.PeerCredentials.OwnUser, Size = 1 }],
        },
    };
}
