using System.Text;
using Google.Protobuf;
using KataLike.Contract.Oci;

namespace KataLike.Contract.Agent;

/// <summary>A container whose life is played where nobody waits for it, so that what happens in a machine for the first time
/// has happened: types are laid out, threads started, the kernel's caches filled, and code is translated where it is emulated.</summary>
public static class RehearsedContainer
{
    public const string Id = "rehearsal";

    private const uint SigKill = 9;

    // The programs are KataLike.Linux.RehearsedProgram's.
    private const string Exec = """{"args": ["/exit"], "env": ["PATH=/"], "cwd": "/", "user": {"uid": 0, "gid": 0}}""";

    /// <summary>What containerd's clients say by default, as far as the guest sees it.</summary>
    private const string Config = """
        {"ociVersion": "1.1.0", "hostname": "rehearsal", "root": {"path": "rootfs"},
        "process": {"args": ["/wait"], "env": ["PATH=/"], "cwd": "/", "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
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

    public static Spec Spec => Spec.Parse(Encoding.UTF8.GetBytes(Config));

    /// <summary>Its life: made, started, a process added that ends, killed, deleted.</summary>
    /// <param name="request">Where its files and streams are.</param>
    public static async Task PlayAsync(AgentClient agent, CreateContainerRequest request, CancellationToken cancel = default)
    {
        (request.Id, request.Config) = (Id, ByteString.CopyFromUtf8(Config));
        await agent.CreateContainerAsync(request, cancel);
        await agent.StartContainerAsync(new StartContainerRequest { Id = Id }, cancel);
        await agent.ExecAsync(new ExecRequest { Id = Id, ExecId = Id, Process = ByteString.CopyFromUtf8(Exec) }, cancel);
        await agent.WaitAsync(new WaitRequest { Id = Id, ExecId = Id }, cancel);
        await agent.DeleteAsync(new DeleteRequest { Id = Id, ExecId = Id }, cancel);
        await agent.SignalAsync(new SignalRequest { Id = Id, Signal = SigKill }, cancel);
        await agent.WaitAsync(new WaitRequest { Id = Id }, cancel);
        await agent.DeleteAsync(new DeleteRequest { Id = Id }, cancel);
    }
}
