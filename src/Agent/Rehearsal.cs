using System.Text;
using Google.Protobuf;
using KataLike.Agent.Containers;
using KataLike.Agent.Service;
using KataLike.Agent.Streams;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>
/// A container's life, asked for as a host does, in a machine that is to be saved. What happens once in a machine's life is behind all
/// its copies then: types laid out, threads started, caches of the kernel filled. The boot id, which is made when it is first read,
/// is not asked for.
/// </summary>
internal static class Rehearsal
{
    private const string Name = "rehearsal";

    private static readonly byte[] _exit =
    [
        0xb8, 0x3c, 0x00, 0x00, 0x00, // eax = exit
        0x31, 0xff,                   // edi = 0
        0x0f, 0x05,                   // syscall
    ];

    /// <summary>What containerd's clients say by default, as far as the guest sees it.</summary>
    private const string Config = """
        {"ociVersion": "1.1.0", "hostname": "rehearsal", "root": {"path": "rootfs"},
        "process": {"args": ["/exit"], "env": ["PATH=/"], "cwd": "/", "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
          "noNewPrivileges": true, "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
          "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"]}},
        "mounts": [
          {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
          {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
          {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
          {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
          {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
          {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
          {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}],
        "linux": {"cgroupsPath": "/rehearsal",
          "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}, {"type": "network", "path": "/pod"}],
          "resources": {"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 67108864}, "cpu": {"shares": 1024, "quota": 100000, "period": 100000}, "pids": {"limit": 100}},
          "maskedPaths": ["/proc/kcore", "/proc/timer_list", "/sys/firmware"], "readonlyPaths": ["/proc/bus", "/proc/sys"]}}
        """;

    /// <param name="agent">Made for this, and of no use afterwards.</param>
    public static async Task RunAsync(EventLoop loop, AgentService agent)
    {
        var rootfs = Directory.CreateDirectory(Overlays.SharedPath($"{Name}/rootfs")).FullName;
        if (!StaticProgram.Write($"{rootfs}/exit", _exit))
            return;
        var (ours, theirs) = UnixSockets.Pair();
        var served = new TtrpcServer(AgentServiceTable.For(agent)).ServeAsync(new ControlStream(loop, theirs));
        await using (var connection = new TtrpcClient(new ControlStream(loop, ours)))
            await PlayAsync(new AgentClient(connection));
        await served;
        Directory.Delete(Path.GetDirectoryName(rootfs)!, recursive: true);
    }

    private static async Task PlayAsync(AgentClient agent)
    {
        await agent.SetNetworkAsync(new SetNetworkRequest { Interfaces = { new NetworkInterface { Id = NetworkDevices.Loopback, Up = true } } });
        await agent.CreateContainerAsync(new CreateContainerRequest
        {
            Id = Name,
            Config = ByteString.CopyFrom(Encoding.UTF8.GetBytes(Config)),
            Overlay = new Overlay { Rootfs = $"{Name}/rootfs" },
            Bundle = "/",
        });
        await agent.StartContainerAsync(new StartContainerRequest { Id = Name });
        await agent.WaitAsync(new WaitRequest { Id = Name });
        await agent.DeleteAsync(new DeleteRequest { Id = Name });
    }
}
