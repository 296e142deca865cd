using KataLike.Runtime.Deploy;

namespace KataLike.Runtime.Tests.Deploy;

public sealed class InstallTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-install-").FullName;
    private readonly List<string> _said = [];

    private string Root => $"{_directory}/root";

    public InstallTests()
    {
        Directory.CreateDirectory(Root);
        foreach (var file in (string[])["program", "kernel", "initrd"])
            File.WriteAllText($"{_directory}/{file}", $"this is {file}");
    }

    private InstallPlan Plan((int, int)? containerd = null) => InstallPlan.From(
        new InstallOptions("/opt/kl", Containerd: true, Crio: true, Podman: true), ($"{_directory}/kernel", $"{_directory}/initrd"),
        $"{_directory}/program", new Host(Root), containerd ?? (2, 2));

    private Installation Installation(bool dryRun = false) => new(Root, dryRun, _said.Add);

    private string[] Entries() => [.. Directory.EnumerateFileSystemEntries(_directory, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];

    [Fact]
    public void WhatIsInstalledIsRemovedWithoutATrace()
    {
        var before = Entries();
        Installation(dryRun: true).Install(Plan(), "/opt/kl");
        Assert.Equal(before, Entries());

        Installation().Install(Plan(), "/opt/kl");
        Assert.Equal("this is program", File.ReadAllText($"{Root}/opt/kl/bin/containerd-shim-katalike-v2"));
        Assert.True(File.GetUnixFileMode($"{Root}/opt/kl/bin/katalike").HasFlag(UnixFileMode.OtherExecute));
        Assert.Equal("this is kernel", File.ReadAllText($"{Root}/opt/kl/share/katalike/vmlinux"));
        Assert.Contains("io.containerd.cri.v1.runtime", File.ReadAllText($"{Root}/etc/containerd/conf.d/katalike.toml"), StringComparison.Ordinal);
        Assert.Contains("runtime_path = \"/opt/kl/bin/containerd-shim-katalike-v2\"", File.ReadAllText($"{Root}/etc/crio/crio.conf.d/50-katalike.conf"), StringComparison.Ordinal);
        Assert.Contains("katalike = [\"/opt/kl/bin/katalike\"]", File.ReadAllText($"{Root}/etc/containers/containers.conf.d/katalike.conf"), StringComparison.Ordinal);
        _ = Configuration.Load($"{Root}/etc/katalike/config.toml");
        Assert.DoesNotContain(Entries(), path => path.Contains(".katalike-", StringComparison.Ordinal));

        Installation().Uninstall("/opt/kl");
        Assert.Equal(before, Entries());
        Assert.StartsWith("nothing is installed below /opt/kl", Assert.Throws<RuntimeException>(() => Installation().Uninstall("/opt/kl")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AgainItBringsUpToDateAndKeepsWhatIsTheUsers()
    {
        Installation().Install(Plan(), "/opt/kl");
        File.AppendAllText($"{Root}/etc/katalike/config.toml", "\n# mine");
        File.WriteAllText($"{Root}/etc/crio/crio.conf.d/50-katalike.conf", "# mine");
        File.WriteAllText($"{Root}/etc/containerd/conf.d/katalike.toml", "# Written by katalike install. An old one");
        File.WriteAllText($"{_directory}/program", "a new program");
        _said.Clear();
        Installation().Install(Plan(), "/opt/kl");
        Assert.Equal(
            [
                "installed  /opt/kl/bin/katalike", "unchanged  /opt/kl/bin/containerd-shim-katalike-v2", "unchanged  /opt/kl/share/katalike/vmlinux",
                "unchanged  /opt/kl/share/katalike/initrd", "unchanged  /etc/systemd/system/katalike-pool.service", "kept       /etc/katalike/config.toml: yours", "installed  /etc/containerd/conf.d/katalike.toml",
                "kept       /etc/crio/crio.conf.d/50-katalike.conf: not written by katalike install", "unchanged  /etc/containers/containers.conf.d/katalike.conf",
            ], _said);
        Assert.Equal("a new program", File.ReadAllText($"{Root}/opt/kl/bin/katalike"));

        Installation().Uninstall("/opt/kl");
        Assert.Equal(["50-katalike.conf", "config.toml"], Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories).Select(Path.GetFileName).Order());
        Assert.Contains("kept       /etc/katalike/config.toml: changed since it was installed", _said);
    }

    [Fact]
    public void AFailureLeavesEverythingAsItWas()
    {
        Installation().Install(Plan(), "/opt/kl");
        File.WriteAllText($"{_directory}/program", "a new program");
        File.Delete($"{Root}/etc/containers/containers.conf.d/katalike.conf");
        Directory.CreateDirectory($"{Root}/etc/containers/containers.conf.d/katalike.conf/in-the-way");
        var before = Entries();
        var error = Assert.Throws<RuntimeException>(() => Installation().Install(Plan(), "/opt/kl"));
        Assert.StartsWith("nothing was installed: ", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, Entries());
        Assert.Equal("this is program", File.ReadAllText($"{Root}/opt/kl/bin/katalike"));
    }

    [Theory]
    [InlineData(1, 6, null, null, "add to /etc/containerd/config.toml (version = 2)")]
    [InlineData(1, 7, "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]", null, "add to /etc/containerd/config.toml and")]
    [InlineData(2, 0, null, "version = 3", "imports = [\"/etc/containerd/conf.d/*.toml\"]")]
    [InlineData(2, 2, null, "version = 3", "restart containerd")]
    [InlineData(2, 1, "version = 2\n", "version = 2", "imports = ")]
    [InlineData(2, 1, "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]", "version = 3", "restart containerd")]
    [InlineData(1, 7, "runtime_type = \"io.containerd.katalike.v2\"", null, null)]
    public void ContainerdsFileIsWrittenWhereItTakesNothingAway(int major, int minor, string? main, string? written, string? advice)
    {
        if (main is not null)
        {
            Directory.CreateDirectory($"{Root}/etc/containerd");
            File.WriteAllText($"{Root}/etc/containerd/config.toml", main);
        }
        var setup = ContainerdSetup.For((major, minor), new Host(Root), "/usr/local");
        Assert.Equal(written is null, setup.File is null);
        Assert.Contains(written ?? "", setup.File?.Text ?? "", StringComparison.Ordinal);
        Assert.Equal(advice is null, setup.Advice is null);
        Assert.Contains(advice ?? "", setup.Advice ?? "", StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
