using static KataLike.Contract.Oci.SpecRules;

namespace KataLike.Contract.Oci;

/// <summary>config.md, "Mounts", and config-linux.md, "Sysctl" and "Devices": what does not depend on the machine.</summary>
internal static class MountRules
{
    /// <summary>Each costs the guest and, if it is the host's, virtiofsd a little; the kernel's own limit is 100,000.</summary>
    public const int MaxMounts = 16_000;

    private const int MaxIdRanges = 340;

    private static readonly string[] IpcParameters =
    [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];

    public static void Check(IReadOnlyList<Mount>? mounts, LinuxSpec? linux, string path)
    {
        if (mounts?.Count > MaxMounts)
            throw new OciException(path, $"{mounts.Count} mounts are too many, {MaxMounts} at most are supported");
        Each(mounts, path, (mount, at) =>
        {
            NotEmpty(mount.Destination, $"{at}.destination");
            CheckRanges(mount.UidMappings, $"{at}.uidMappings");
            CheckRanges(mount.GidMappings, $"{at}.gidMappings");
            if (mount.UidMappings is { Count: > 0 } != mount.GidMappings is { Count: > 0 })
                throw new OciException(at, "id-mapped mounts must have both uid and gid mappings specified");
            if (mount.Options?.Any(option => option is "idmap" or "ridmap") == true
                && mount.UidMappings is not { Count: > 0 } && linux?.UidMappings is not { Count: > 0 })
                throw new OciException($"{at}.options", "idmap needs uidMappings of the mount, or of a user namespace");
        });
    }

    /// <summary>Only what belongs to a namespace of the container, in runc's words.</summary>
    public static void CheckSysctls(LinuxSpec linux, string path)
    {
        foreach (var name in linux.Sysctl?.Keys ?? [])
        {
            if (WhyNot(Dotted(name), linux) is { } reason)
                throw new OciException($"{path}['{name}']", reason);
        }
    }

    public static void CheckDevice(Device device, string path)
    {
        Absolute(device.Path, $"{path}.path");
        OneOf(device.Type, $"{path}.type", ["c", "b", "u", "p"]);
        if (device.Type == "p")
            return;
        // As the kernel numbers devices: 12 and 20 bits.
        if (device.Major is < 0 or >= 1 << 12)
            throw new OciException($"{path}.major", $"{device.Major} must be 0 to {(1 << 12) - 1}");
        if (device.Minor is < 0 or >= 1 << 20)
            throw new OciException($"{path}.minor", $"{device.Minor} must be 0 to {(1 << 20) - 1}");
    }

    private static void CheckRanges(IReadOnlyList<IdMapping>? ranges, string path)
    {
        if (ranges?.Count > MaxIdRanges)
            throw new OciException(path, $"{ranges.Count} ranges are too many, the kernel takes {MaxIdRanges}");
        Each(ranges, path, static (range, at) =>
        {
            if (range.Size == 0)
                throw new OciException($"{at}.size", "must be greater than zero");
            if (uint.MaxValue - range.Size < Math.Max(range.ContainerId, range.HostId))
                throw new OciException(at, "the range exceeds the ids that there are");
        });
    }

    private static string? WhyNot(string name, LinuxSpec linux)
    {
        bool Has(string type) => linux.FindNamespace(type) is not null;

        if (IpcParameters.Contains(name) || name.StartsWith("fs.mqueue.", StringComparison.Ordinal))
            return Has("ipc") ? null : $"sysctl \"{name}\" is not allowed in the hosts ipc namespace";
        if (name.StartsWith("net.", StringComparison.Ordinal))
            return Has("network") ? null : $"sysctl \"{name}\" not allowed in host network namespace";
        if (name.StartsWith("user.", StringComparison.Ordinal) && Has("user"))
            return null;
        return name switch
        {
            "kernel.domainname" when Has("uts") => null,
            "kernel.hostname" when Has("uts") => $"sysctl \"{name}\" is not allowed as it conflicts with the OCI \"hostname\" field",
            _ => $"sysctl \"{name}\" is not in a separate kernel namespace",
        };
    }

    /// <summary>Of the two ways to write a name ("net.ipv4.x", "net/ipv4/x") the first separator tells which (sysctl(8)).</summary>
    private static string Dotted(string name) =>
        name.IndexOfAny(['.', '/']) is var first and >= 0 && name[first] == '/'
            ? string.Concat(name.Select(c => c switch { '/' => '.', '.' => '/', _ => c }))
            : name;
}
