namespace KataLike.Runtime.Deploy;

/// <summary>How containerd learns of the runtime class: by a file of ours where its version allows it, else by lines that the user adds.</summary>
/// <param name="File">The file's path and text; null: containerd would lose other settings by one.</param>
/// <param name="Advice">What is left to the user; null: nothing.</param>
internal sealed record ContainerdSetup((string Path, string Text)? File, string? Advice)
{
    public const string Main = "/etc/containerd/config.toml", DropIns = "/etc/containerd/conf.d";

    private const string Handler = "io.containerd.katalike.v2";

    /// <param name="version">containerd's; null: not known, taken for a new one.</param>
    public static ContainerdSetup For((int Major, int Minor)? version, Host host, string prefix)
    {
        var main = host.Read(Main);
        if (main?.Contains(Handler, StringComparison.Ordinal) == true)
            return new ContainerdSetup(null, null);
        if (version is { Major: 1 })
        {
            // What an imported file says of the CRI plugin takes the place of all that the main file says of it.
            var lines = EngineFiles.WithoutHeading(EngineFiles.Read("containerd/config-v2.toml", prefix));
            return new ContainerdSetup(null, $"for Kubernetes, add to {Main}{(main is null ? " (version = 2)" : "")} and restart containerd:\n{lines}");
        }
        // A file of a later version than the main file's keeps that one from being converted.
        var name = main is not null && !IsVersion3(main) ? "containerd/config-v2.toml" : "containerd/config-v3.toml";
        var text = EngineFiles.Read(name, prefix);
        var imports = main?.Contains($"{DropIns}/*.toml", StringComparison.Ordinal) ?? version is not { Major: 2, Minor: < 2 };
        return new ContainerdSetup(
            ($"{DropIns}/katalike.toml", text),
            imports ? "restart containerd" : $"add to {Main} and restart containerd:\nimports = [\"{DropIns}/*.toml\"]");
    }

    /// <summary>Whether the runtime class is there, as far as files tell.</summary>
    public static bool IsConfigured(Host host) =>
        host.Read(Main) is { } main && main.Contains(Handler, StringComparison.Ordinal)
        || host.ReadAll(DropIns).Any(text => text.Contains(Handler, StringComparison.Ordinal));

    private static bool IsVersion3(string main) =>
        main.Split('\n').Any(line => line.Replace(" ", "", StringComparison.Ordinal).StartsWith("version=3", StringComparison.Ordinal));
}
