using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>What the host says of the machine as a whole: its name, its time, its entropy, the file systems it shares.</summary>
internal static class Sandbox
{
    public const string SharedDirectory = "/run/katalike/shared";
    private const string SharedMemory = "/run/katalike/tmpfs/shm";

    private const int MinEntropy = 32;
    private const string HostsGenerator = "/dev/hwrng";

    private static readonly Dictionary<string, MountAttributes> AttributeOptions = new()
    {
        ["ro"] = MountAttributes.ReadOnly,
        ["nosuid"] = MountAttributes.NoSetUserId,
        ["nodev"] = MountAttributes.NoDevices,
        ["noexec"] = MountAttributes.NoExecution,
        ["noatime"] = MountAttributes.NoAccessTime,
    };

    public static SetUpSandboxResponse SetUp(SetUpSandboxRequest request)
    {
        SetTime(request.Time?.ToDateTimeOffset());
        AddEntropy(request.Entropy.Span);
        if (request.Hostname.Length > 0)
        {
            KernelFiles.Write("/proc/sys/kernel/hostname", request.Hostname);
        }
        if (request.Dns.Count > 0)
        {
            Directory.CreateDirectory("/etc");
            File.WriteAllText("/etc/resolv.conf", string.Join('\n', request.Dns) + "\n");
        }
        MountSharedMemory();
        Timeline.Mark("time, entropy and name taken");
        foreach (var share in request.Shares)
        {
            Mount(share);
        }
        return new SetUpSandboxResponse
        {
            KernelRelease = KernelFiles.Read("/proc/sys/kernel/osrelease").Trim(),
            // The kernel makes it when it is first read, and then it is the machine's.
            BootId = request.Rehearsal ? "" : KernelFiles.Read("/proc/sys/kernel/random/boot_id").Trim(),
        };
    }

    /// <summary>Lets go of what the host shares, so that it holds all that was written.</summary>
    public static void Unmount()
    {
        if (!Directory.Exists(SharedDirectory))
        {
            return;
        }
        foreach (var share in Directory.GetDirectories(SharedDirectory))
        {
            try
            {
                Mounts.Detach(share);
                Directory.Delete(share);
            }
            catch (LinuxException e)
            {
                Log.Debug(e.Message);
            }
        }
    }

    private static void SetTime(DateTimeOffset? now)
    {
        if (now is { } time)
        {
            Machine.SetTime(time);
        }
    }

    private static void AddEntropy(ReadOnlySpan<byte> entropy)
    {
        if (entropy.Length < MinEntropy)
        {
            throw new TtrpcException(
                StatusCode.InvalidArgument, $"entropy of {entropy.Length} bytes: at least {MinEntropy} are needed");
        }
        using var random = Files.Open("/dev/random", Files.WriteOnly);
        Machine.AddEntropy(random, entropy);
        DropSavedNumbers();
    }

    /// <summary>What the kernel had read ahead from the host's generator when the machine was saved is the same in all copies, and for nobody.</summary>
    private static void DropSavedNumbers()
    {
        const int readAhead = 256; // two buffers of at most 64 bytes, and what comes while they are read
        if (!File.Exists(HostsGenerator))
        {
            return;
        }
        using var generator = Files.Open(HostsGenerator, Files.ReadOnly);
        Span<byte> dropped = stackalloc byte[readAhead];
        while (dropped.Length > 0 && Files.TryRead(generator, dropped) is > 0 and var count)
        {
            dropped = dropped[(int)count..];
        }
    }

    /// <summary>Common to the sandbox's containers (agent.proto, MountSource.sandbox_tmpfs).</summary>
    public static void MountSharedMemory()
    {
        if (Directory.Exists(SharedMemory))
        {
            return; // an earlier connection's
        }
        const MountAttributes attributes =
            MountAttributes.NoSetUserId | MountAttributes.NoDevices | MountAttributes.NoExecution;
        using var mount = Mounts.Create("tmpfs", "shm", [new MountOption("mode", "1777")], attributes);
        Directory.CreateDirectory(SharedMemory);
        Mounts.Attach(mount, SharedMemory);
    }

    private static void Mount(Share share)
    {
        Ids.Check(share.Tag, "share tag");
        var target = $"{SharedDirectory}/{share.Tag}";
        if (Directory.Exists(target))
        {
            return; // an earlier connection's
        }
        var (attributes, options) = Options(share);
        using var mount = Mounts.Create(share.Type, share.Tag, options, attributes);
        Directory.CreateDirectory(target);
        Mounts.Attach(mount, target);
    }

    private static (MountAttributes Attributes, List<MountOption> Options) Options(Share share)
    {
        List<MountOption> options = share.Type switch
        {
            "virtiofs" => [],
            "9p" => [new("trans", "virtio"), new("version", "9p2000.L")],
            _ => throw new TtrpcException(StatusCode.InvalidArgument, $"share {share.Tag}: unknown type {share.Type}"),
        };
        var attributes = MountAttributes.None;
        foreach (var option in share.Options)
        {
            if (AttributeOptions.TryGetValue(option, out var attribute))
            {
                attributes |= attribute;
                continue;
            }
            var equals = option.IndexOf('=', StringComparison.Ordinal);
            options.Add(equals < 0 ? new MountOption(option) : new MountOption(option[..equals], option[(equals + 1)..]));
        }
        return (attributes, options);
    }
}
