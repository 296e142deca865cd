using KataLike.Linux;
using KataLike.Runtime.Deploy;
using KataLike.Runtime.Pools;
using KataLike.Runtime.Templates;

namespace KataLike.Runtime.Cli.Commands;

internal static class InstallCommand
{
    private static readonly Flag Prefix = Flag.Text("prefix", "where bin/ and share/ are", "/usr/local"),
        DestinationDirectory = Flag.Text("destdir", "put everything below this directory instead of the host's root, as for a package"),
        DryRun = Flag.Boolean("dry-run", "say what would be done, and do nothing");

    public static Command Install { get; } = new("install", "install katalike on this host", InstallAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags =
        [
            Prefix, DestinationDirectory, DryRun,
            Flag.Boolean("containerd", "make it a runtime class of containerd"),
            Flag.Boolean("crio", "make it a runtime of CRI-O"),
            Flag.Boolean("podman", "make it a runtime of Podman and Buildah"),
            Flag.Boolean("all", "the three above"),
        ],
        Description = """
            Copies this program, the guest's kernel and initrd, and a configuration file that says what the defaults are. It
            never changes a file that is yours: where no file of our own will do, it prints the lines to add. Again: it
            brings up to date. A failure leaves everything as it was.
            """,
    };

    public static Command Uninstall { get; } = new("uninstall", "remove what install has placed", UninstallAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags = [Prefix, DestinationDirectory, DryRun],
        Description = "Removes the files that install has placed, but for those that have been changed since, and the templates.",
    };

    private static async Task<int> InstallAsync(Invocation invocation)
    {
        var (options, prefix, installation, host) = Common(invocation);
        var all = options.Boolean("all");
        var wanted = new InstallOptions(prefix, all || options.Boolean("containerd"), all || options.Boolean("crio"), all || options.Boolean("podman"));
        var guest = ProgramPaths.FindGuest(Configuration.Load(invocation.Global.ConfigurationPath));
        var containerd = wanted.Containerd && Host.FindProgram("containerd") is { } program ? Host.NumberIn(Host.VersionOf(program)) : null;
        var plan = InstallPlan.From(wanted, guest, Environment.ProcessPath!, host, containerd);
        installation.Install(plan, prefix);
        foreach (var line in plan.Advice)
            StandardStreams.WriteOutput($"to do      {line}\n");
        if (host.Root.Length == 0 && !options.Boolean("dry-run"))
            await MakeTemplateAsync(prefix);
        if (host.Root.Length == 0)
            StandardStreams.WriteOutput($"next       {prefix}/bin/katalike check\n");
        return 0;
    }

    /// <summary>By the program that was installed, which has its own files. Without a template sandboxes boot: a failure is no error here.</summary>
    private static async Task MakeTemplateAsync(string prefix)
    {
        var program = $"{prefix}/bin/katalike";
        using var child = ChildProcess.Start(new ProcessStart
        {
            Path = program,
            Arguments = [program, "template"],
            Environment = [$"PATH={Environment.GetEnvironmentVariable("PATH")}"],
            Descriptors = [(StandardStreams.Get(1), 1), (StandardStreams.Get(2), 2)],
        });
        if ((await child.Exited).Code != 0)
            StandardStreams.WriteOutput("to do      sandboxes boot, which takes longer, until \"katalike template\" succeeds\n");
    }

    private static Task<int> UninstallAsync(Invocation invocation)
    {
        var (options, prefix, installation, host) = Common(invocation);
        // Read before it is removed.
        var configuration = host.Root.Length == 0 ? ConfigurationOrDefaults(invocation.Global.ConfigurationPath) : null;
        installation.Uninstall(prefix);
        if (configuration is null)
            return Task.FromResult(0);
        if (Directory.Exists(configuration.TemplateDirectory))
        {
            StandardStreams.WriteOutput($"{(options.Boolean("dry-run") ? "to remove " : "removed   ")} {configuration.TemplateDirectory}\n");
            if (!options.Boolean("dry-run"))
                new TemplateStore(configuration.TemplateDirectory).DiscardAll();
        }
        if (PoolKeeper.IsKept(configuration.PoolDirectory))
            StandardStreams.WriteOutput($"to do      systemctl disable --now katalike-pool: a process still keeps machines ready in {configuration.PoolDirectory}\n");
        return Task.FromResult(0);
    }

    /// <summary>One that cannot be read is no reason to keep the program.</summary>
    private static Configuration ConfigurationOrDefaults(string? path)
    {
        try
        {
            return Configuration.Load(path);
        }
        catch (RuntimeException)
        {
            return new Configuration();
        }
    }

    private static (Options, string Prefix, Installation, Host) Common(Invocation invocation)
    {
        var options = invocation.Options;
        var prefix = options.Text("prefix") ?? "/usr/local";
        if (!prefix.StartsWith('/') || prefix.Any(char.IsWhiteSpace))
            throw new RuntimeException($"--prefix {prefix}: not an absolute path without blanks");
        prefix = Path.GetFullPath(prefix).TrimEnd('/');
        var root = options.Text("destdir") is { } directory ? Path.GetFullPath(directory).TrimEnd('/') : "";
        var installation = new Installation(root, options.Boolean("dry-run"), line => StandardStreams.WriteOutput($"{line}\n"));
        return (options, prefix, installation, new Host(root));
    }
}
