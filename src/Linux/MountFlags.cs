using static KataLike.Linux.MountAttributes;

namespace KataLike.Linux;

/// <summary>Where mount events go to and come from, of one mount or of it and all below it.</summary>
public readonly record struct Propagation(MountPropagation Kind, bool Recursive);

/// <summary>A mount's options, sorted by what carries them out (mount(8); config.md, "Linux mount options").</summary>
public sealed record MountFlags
{
    private static readonly Dictionary<string, (MountAttributes Set, MountAttributes Clear)> Attributes = new()
    {
        ["ro"] = (ReadOnly, 0),
        ["rw"] = (0, ReadOnly),
        ["nosuid"] = (NoSetUserId, 0),
        ["suid"] = (0, NoSetUserId),
        ["nodev"] = (NoDevices, 0),
        ["dev"] = (0, NoDevices),
        ["noexec"] = (NoExecution, 0),
        ["exec"] = (0, NoExecution),
        ["nodiratime"] = (NoDirectoryAccessTime, 0),
        ["diratime"] = (0, NoDirectoryAccessTime),
        ["nosymfollow"] = (NoSymbolicLinks, 0),
        ["symfollow"] = (0, NoSymbolicLinks),
        ["noatime"] = (NoAccessTime, 0),
        ["atime"] = (0, NoAccessTime),
        ["strictatime"] = (StrictAccessTime, 0),
        ["nostrictatime"] = (0, StrictAccessTime),
        ["relatime"] = (0, 0),
        ["norelatime"] = (0, 0),
    };

    private static readonly Dictionary<string, MountPropagation> Propagations = new()
    {
        ["private"] = MountPropagation.Private,
        ["slave"] = MountPropagation.Slave,
        ["shared"] = MountPropagation.Shared,
        ["unbindable"] = MountPropagation.Unbindable,
    };

    // What is so anyway, or means nothing for a new mount.
    private static readonly string[] Ignored =
    [
        "", "defaults", "async", "loud", "silent", "nolazytime", "mand", "nomand", "iversion", "noiversion", "acl", "noacl",
    ];

    /// <summary>The options that are known by name, sorted; what is not among them is left to the file system.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        .. Attributes.Keys.Concat(Propagations.Keys).SelectMany(name => (string[])[name, $"r{name}"])
            .Concat(Ignored.Where(name => name.Length > 0))
            .Concat(["bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap", "sync", "dirsync", "lazytime"])
            .Order(StringComparer.Ordinal),
    ];

    public bool Bind { get; private set; }

    public bool Recursive { get; private set; }

    /// <summary>Change the mount that is there; with <see cref="Bind"/> its attributes only.</summary>
    public bool Remount { get; private set; }

    public MountAttributes Set { get; private set; }

    public MountAttributes Clear { get; private set; }

    /// <summary>For the mount and all that is below it ("rro" and so on).</summary>
    public MountAttributes RecursiveSet { get; private set; }

    public MountAttributes RecursiveClear { get; private set; }

    /// <summary>In this order: "slave" and then "shared" gives a mount that is both.</summary>
    public IReadOnlyList<Propagation> Propagation { get; private set; } = [];

    /// <summary>Fill a new tmpfs with what it hides.</summary>
    public bool CopyUp { get; private set; }

    /// <summary>Owners are mapped: "idmap", or "ridmap" for what is below too.</summary>
    public bool MapIds { get; private set; }

    public bool MapIdsRecursively { get; private set; }

    /// <summary>Options of the file system itself, in order.</summary>
    public IReadOnlyList<MountOption> Data { get; private set; } = [];

    /// <summary>A later option overrides an earlier one.</summary>
    public static MountFlags Parse(IReadOnlyList<string> options)
    {
        var flags = new MountFlags();
        var (propagation, data) = (new List<Propagation>(), new List<MountOption>());
        foreach (var option in options)
        {
            if (flags.Take(option) || Ignored.Contains(option))
                continue;
            if (PropagationOf(option) is { } change)
                propagation.Add(change);
            else
                data.Add(option.Split('=', 2) is [var key, var value] ? new(key, value) : new(option));
        }
        (flags.Propagation, flags.Data) = (propagation, data);
        return flags;
    }

    private bool Take(string option)
    {
        if (Attributes.TryGetValue(option, out var change))
            (Set, Clear) = Apply(option, change, Set, Clear);
        else if (option.StartsWith('r') && Attributes.TryGetValue(option[1..], out change))
            (RecursiveSet, RecursiveClear) = Apply(option[1..], change, RecursiveSet, RecursiveClear);
        else if (option is "bind" or "rbind")
            (Bind, Recursive) = (true, Recursive || option == "rbind");
        else if (option == "remount")
            Remount = true;
        else if (option == "tmpcopyup")
            CopyUp = true;
        else if (option is "idmap" or "ridmap")
            (MapIds, MapIdsRecursively) = (true, MapIdsRecursively || option == "ridmap");
        else
            return false;
        return true;
    }

    private static (MountAttributes Set, MountAttributes Clear) Apply(
        string option, (MountAttributes Set, MountAttributes Clear) change, MountAttributes set, MountAttributes clear)
    {
        (set, clear) = ((set & ~change.Clear) | change.Set, (clear & ~change.Set) | change.Clear);
        // How access times are kept is one choice of three. As with mount(2): strict wins, relative is the default.
        if (option.EndsWith("atime", StringComparison.Ordinal))
            clear |= AccessTime;
        return (set.HasFlag(StrictAccessTime) ? set & ~NoAccessTime : set, clear);
    }

    private static Propagation? PropagationOf(string option) =>
        Propagations.TryGetValue(option, out var kind) ? new(kind, false)
        : option.StartsWith('r') && Propagations.TryGetValue(option[1..], out kind) ? new(kind, true)
        : null;
}
