namespace KataLike.Contract.Agent;

/// <summary>A container whose life is played where nobody waits for it, so that what happens in a machine for the first time has happened.</summary>
public static class RehearsedContainer
{
    public const string Id = "rehearsal";

    /// <summary>Exits at once with 0 (x86-64).</summary>
    public static ReadOnlySpan<byte> Program =>
    [
        0xb8, 0x3c, 0x00, 0x00, 0x00, // eax = exit
        0x31, 0xff,                   // edi = 0
        0x0f, 0x05,                   // syscall
    ];

    /// <summary>What containerd's clients say by default, as far as the guest sees it. The program is /exit.</summary>
    public const string Config = """
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
}
