using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Deploy;

/// <summary>One thing to place. Paths are as the host will see them, without <see cref="Host.Root"/>.</summary>
internal abstract record InstallItem(string Path)
{
    /// <summary>A copy of a file.</summary>
    public sealed record Copy(string Path, string Source, UnixFileMode Mode) : InstallItem(Path);

    /// <summary>A text. What is there already is replaced only if it is ours and not the user's to change.</summary>
    public sealed record Text(string Path, string Content, bool IsUsers) : InstallItem(Path);

    public sealed record Link(string Path, string Target) : InstallItem(Path);
}

internal sealed record InstallOptions(string Prefix, bool Containerd, bool Crio, bool Podman);

/// <summary>What is placed where, and what is left for the user to do.</summary>
internal sealed record InstallPlan(IReadOnlyList<InstallItem> Items, IReadOnlyList<string> Advice)
{
    private const UnixFileMode Plain = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const UnixFileMode Program = Plain | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <param name="program">The running program, which is what is installed.</param>
    /// <param name="containerd">containerd's version, if it is there.</param>
    public static InstallPlan From(InstallOptions options, (string Kernel, string Initrd) guest, string program, Host host, (int, int)? containerd)
    {
        var prefix = options.Prefix;
        List<InstallItem> items =
        [
            new InstallItem.Copy($"{prefix}/bin/katalike", program, Program),
            new InstallItem.Link($"{prefix}/bin/containerd-shim-katalike-v2", "katalike"),
            new InstallItem.Copy($"{prefix}/share/katalike/vmlinux", guest.Kernel, Plain),
            new InstallItem.Copy($"{prefix}/share/katalike/initrd", guest.Initrd, Plain),
            new InstallItem.Text($"{UnitDirectory(prefix)}/katalike-pool.service", EngineFiles.Read("systemd/katalike-pool.service", prefix), IsUsers: false),
            new InstallItem.Text(Configuration.DefaultPath, EngineFiles.Read("config.toml", prefix), IsUsers: true),
        ];
        var advice = new List<string>();
        if (options.Containerd)
        {
            var setup = ContainerdSetup.For(containerd, host, prefix);
            if (setup.File is var (path, text))
                items.Add(new InstallItem.Text(path, text, IsUsers: false));
            advice.AddRange(setup.Advice is { } left ? [$"containerd: {left}"] : []);
            if (prefix is not ("/usr" or "/usr/local"))
                advice.Add($"containerd: {prefix}/bin must be in the PATH of containerd's service");
        }
        if (options.Crio)
        {
            items.Add(new InstallItem.Text("/etc/crio/crio.conf.d/50-katalike.conf", EngineFiles.Read("crio/50-katalike.conf", prefix), IsUsers: false));
            advice.Add("CRI-O: restart crio");
        }
        if (options.Podman)
            items.Add(new InstallItem.Text("/etc/containers/containers.conf.d/katalike.conf", EngineFiles.Read("podman/katalike.conf", prefix), IsUsers: false));
        return new InstallPlan(items, advice);
    }

    /// <summary>systemd.unit(5), unit file load path.</summary>
    private static string UnitDirectory(string prefix) => prefix is "/usr" or "/usr/local" ? $"{prefix}/lib/systemd/system" : "/etc/systemd/system";

    /// <summary>Where the list of what has been installed is.</summary>
    public static string RecordPath(string prefix) => $"{prefix}/share/katalike/installed";
}
