using System.Text.Json.Nodes;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>A bundle of busybox, which runs what a case tells it to.</summary>
internal sealed class TestBundle
{
    private static readonly string[] Applets = ["sh", "cat", "echo", "sleep", "kill", "ps", "tty", "stty", "true", "id", "env", "uname", "sha256sum", "test", "ls", "mount"];

    public TestBundle(string path, params string[] arguments)
    {
        Path = path;
        Directory.CreateDirectory($"{path}/rootfs/bin");
        foreach (var directory in (string[])["proc", "sys", "dev", "tmp", "etc"])
            Directory.CreateDirectory($"{path}/rootfs/{directory}");
        File.Copy("/bin/busybox", $"{path}/rootfs/bin/busybox");
        foreach (var applet in Applets)
            File.CreateSymbolicLink($"{path}/rootfs/bin/{applet}", "busybox");
        File.WriteAllText($"{path}/rootfs/not-executable", "");
        Write(arguments);
    }

    public string Path { get; }

    public string Rootfs => $"{Path}/rootfs";

    public void Write(string[] arguments, Action<JsonNode>? change = null)
    {
        var spec = JsonNode.Parse("""
            {
              "ociVersion": "1.0.2",
              "process": {
                "terminal": false, "cwd": "/",
                "user": { "uid": 0, "gid": 0 },
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
                "capabilities": {
                  "bounding": ["CAP_KILL", "CAP_SYS_ADMIN"], "effective": ["CAP_KILL", "CAP_SYS_ADMIN"], "permitted": ["CAP_KILL", "CAP_SYS_ADMIN"]
                }
              },
              "root": { "path": "rootfs", "readonly": false },
              "hostname": "case",
              "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620"] }
              ],
              "linux": {
                "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }]
              }
            }
            """)!;
        spec["process"]!["args"] = new JsonArray([.. arguments.Select(a => JsonValue.Create(a))]);
        change?.Invoke(spec);
        File.WriteAllText($"{Path}/config.json", spec.ToJsonString());
    }
}
