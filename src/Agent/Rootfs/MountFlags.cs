using KataLike.Agent.Containers;
using KataLike.Linux;
using static KataLike.Linux.MountAttributes;

namespace KataLike.Agent.Rootfs;

/// <summary>A mount's options, sorted by what carries them out (config.md, "Linux mount options").</summary>
internal sealed record MountFlags
{
    private static readonly Dictionary<string, (MountAttributes Set, MountAttributes Clear)> _attributes = new()
    {
        ["ro"] = (ReadOnly, 0), ["rw"] = (0, ReadOnly),
        ["nosuid"] = (NoSetUserId, 0), ["suid"] = (0, NoSetUserId),
        ["nodev"] = (NoDevices, 0), ["dev"] = (0, NoDevices),
        ["noexec"] = (NoExecution, 0), ["exec"] = (0, NoExecution),
        ["nodiratime"] = (NoDirectoryAccessTime, 0), ["diratime"] = (0, NoDirectoryAccessTime),
        ["nosymfollow"] = (NoSymbolicLinks, 0), ["symfollow"] = (0, NoSymbolicLinks),
        // The way of keeping access times is one choice of three; relative is the kernel's default.
        ["noatime"] = (NoAccessTime, AccessTime), ["strictatime"] = (StrictAccessTime, AccessTime),
        ["relatime"] = (0, AccessTime), ["atime"] = (0, AccessTime),
        ["norelatime"] = (0, AccessTime), ["nostrictatime"] = (0, AccessTime),
    };

    private static readonly Dictionary<string, MountPropagation> _propagations = new()
    {
        ["private"] = MountPropagation.Private, ["slave"] = MountPropagation.Slave,
        ["shared"] = MountPropagation.Shared, ["unbindable"] = MountPropagation.Unbindable,
    };

    // Of the superblock, and known to the kernel by these names.
    private static readonly string[] _superblock = ["sync", "dirsync", "lazytime"];

    // What is so anyway, or means nothing for a new mount.
    private static readonly string[] _ignored =
        ["defaults", "async", "loud", "silent", "nolazytime", "mand", "nomand", "iversion", "noiversion", "bind", "rbind"];

    public bool Bind { get; init; }

    public bool Recursive { get; init; }

    public MountAttributes Set { get; init; }

    public MountAttributes Clear { get; init; }

    /// <summary>For the mount and all that is below it ("rro" and so on).</summary>
    public MountAttributes RecursiveSet { get; init; }

    public MountAttributes RecursiveClear { get; init; }

    public MountPropagation Propagation { get; init; }

    public bool RecursivePropagation { get; init; }

    /// <summary>Fill a new tmpfs with what it hides.</summary>
    public bool CopyUp { get; init; }

    /// <summary>Options of the file system itself, in order.</summary>
    public IReadOnlyList<MountOption> Data { get; init; } = [];

    /// <summary>A later option overrides an earlier one.</summary>
    public static MountFlags Parse(IReadOnlyList<string> options, string at)
    {
        var recursive = options.Contains("rbind");
        var flags = new MountFlags { Bind = recursive || options.Contains("bind"), Recursive = recursive };
        var data = new List<MountOption>();
        foreach (var option in options)
        {
            var inner = option.StartsWith('r') ? option[1..] : "";
            if (_attributes.TryGetValue(option, out var change))
                flags = flags with
                {
                    Set = (flags.Set & ~change.Clear) | change.Set,
                    Clear = (flags.Clear & ~change.Set) | change.Clear,
                };
            else if (_propagations.TryGetValue(option, out var propagation))
                flags = flags with { Propagation = propagation };
            else if (_propagations.TryGetValue(inner, out propagation))
                flags = flags with { Propagation = propagation, RecursivePropagation = true };
            else if (_attributes.TryGetValue(inner, out change))
                flags = flags with
                {
                    RecursiveSet = (flags.RecursiveSet & ~change.Clear) | change.Set,
                    RecursiveClear = (flags.RecursiveClear & ~change.Set) | change.Clear,
                };
            else if (option == "tmpcopyup")
                flags = flags with { CopyUp = true };
            else if (option is "remount" or "idmap" or "ridmap")
                throw new ContainerException($"{at}: option {option} is not supported");
            else if (_superblock.Contains(option))
                data.Add(new MountOption(option));
            else if (!_ignored.Contains(option) && option.Length > 0)
                data.Add(option.Split('=', 2) is [var key, var value] ? new MountOption(key, value) : new MountOption(option));
        }
        return flags with { Data = data };
    }
}
