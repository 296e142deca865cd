using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests;

/// <summary>
/// A bundle whose root file system holds the probe and a few files for it to look at. $BUNDLE in a fragment stands for its
/// path, $HOST for a directory of the host beside the root file system, $HOLDER for the pid of the container that was first.
/// </summary>
internal sealed class ContainerBundle
{
    public ContainerBundle(string path, string probe)
    {
        Path = path;
        foreach (var directory in (string[])["proc", "sys", "dev", "tmp", "bin", "etc", "dir/sub", "masked", "readonly", "copied", "own"])
            Directory.CreateDirectory($"{Rootfs}/{directory}");
        foreach (var file in (string[])["dir/file", "masked/file", "masked-file", "readonly/file", "readonly-file", "copied/file"])
            File.WriteAllText($"{Rootfs}/{file}", "rootfs");
        File.WriteAllText($"{Rootfs}/etc/passwd", "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/dir:/bin/sh\n");
        File.WriteAllText($"{Rootfs}/etc/group", "root:x:0:\nuser:x:1000:\n");
        File.Copy(probe, $"{Rootfs}/probe");
        File.CreateSymbolicLink($"{Rootfs}/link", "/dir");
        File.CreateSymbolicLink($"{Rootfs}/upward", "../../../../../../../../../../dir");
        foreach (var directory in (string[])["empty", "tree/sub"])
            Directory.CreateDirectory($"{Host}/{directory}");
        foreach (var file in (string[])["file", "tree/file", "tree/sub/file"])
            File.WriteAllText($"{Host}/{file}", "host");
        File.Copy(probe, $"{Host}/tree/sub/probe");
        File.CreateSymbolicLink($"{Host}/link", "tree");
    }

    public string Path { get; }

    public string Rootfs => $"{Path}/rootfs";

    public string Host => $"{Path}/host";

    public void Write(JsonObject config) => File.WriteAllText($"{Path}/config.json", config.ToJsonString());
}
