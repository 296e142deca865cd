namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_openat = 257;
    internal const uint TIOCSWINSZ = 0x5414;
}

/// <summary>Steps for what only a process inside the new namespaces can make: proc and terminals.</summary>
public sealed unsafe partial class LaunchPlan
{
    /// <summary>
    /// Mounts a file system, detached, as only the child can: proc shows its pid namespace, and in a user namespace of
    /// its own what it mounts belongs to that. The parent fetches the descriptor with
    /// <see cref="LaunchedProcess.WaitFor"/> and <see cref="Processes.TakeDescriptor"/> while the child is at a gate.
    /// </summary>
    public Step MakeFileSystem(string type, string? source, IReadOnlyList<MountOption> options, MountAttributes attributes)
    {
        var context = Add("mount", type, Libc.SYS_fsopen, 0, Text(type), Libc.FSOPEN_CLOEXEC);
        foreach (var (key, value) in source is null ? options : options.Prepend(new MountOption("source", source)))
        {
            var command = value is null ? Libc.FSCONFIG_SET_FLAG : Libc.FSCONFIG_SET_STRING;
            Add("mount", $"{type} with option {key}", Libc.SYS_fsconfig, 0,
                context, command, Text(key), value is null ? 0 : Text(value), 0);
        }
        Add("mount", type, Libc.SYS_fsconfig, 0, context, Libc.FSCONFIG_CMD_CREATE, 0, 0, 0);
        return Add("mount", type, Libc.SYS_fsmount, Libc.KATALIKE_REPORT, context, Libc.FSMOUNT_CLOEXEC, (long)attributes);
    }

    /// <summary>
    /// Makes a pseudo terminal in the container's devpts, the child's standard streams and the terminal of its session.
    /// The result is the number of the master in the child, for the parent to take.
    /// </summary>
    /// <param name="console">Whether it is also bound to /dev/console, which must exist.</param>
    public Step MakeTerminal(ushort columns, ushort rows, uint owner, bool console)
    {
        const int flags = Files.ReadWrite | Libc.O_NOCTTY | Libc.O_CLOEXEC;
        var opened = Add("open", "/dev/ptmx", Libc.SYS_openat, 0, Libc.AT_FDCWD, Text("/dev/ptmx"), flags, 0);
        Add("ioctl", "TIOCSPTLCK", Libc.SYS_ioctl, 0, opened, Libc.TIOCSPTLCK, Allocate<int>([0]));
        if (columns != 0 || rows != 0)
            Add("ioctl", "TIOCSWINSZ", Libc.SYS_ioctl, 0, opened, Libc.TIOCSWINSZ, Allocate<ushort>([rows, columns, 0, 0]));
        var peer = Add("ioctl", "TIOCGPTPEER", Libc.SYS_ioctl, 0, opened, Libc.TIOCGPTPEER, flags);
        Add("fchown", "the terminal", Libc.SYS_fchown, Libc.KATALIKE_OPTIONAL, peer, owner, uint.MaxValue);
        if (console)
        {
            const int tree = Libc.OPEN_TREE_CLONE | Libc.OPEN_TREE_CLOEXEC | Libc.AT_EMPTY_PATH;
            var mount = Add("open_tree", "the terminal", Libc.SYS_open_tree, 0, peer, Text(""), tree);
            Add("move_mount", "/dev/console", Libc.SYS_move_mount, 0,
                mount, Text(""), Libc.AT_FDCWD, Text("/dev/console"), Libc.MOVE_MOUNT_F_EMPTY_PATH);
        }
        // The child's low numbers are free, so both may have got one of 0 to 2.
        var slave = MoveUp(peer);
        var master = Add("fcntl", "F_DUPFD_CLOEXEC", Libc.SYS_fcntl, Libc.KATALIKE_REPORT,
            opened, Libc.F_DUPFD_CLOEXEC, ReservedDescriptors);
        for (var stream = 0; stream < 3; stream++)
            MoveTo(slave, stream);
        ControllingTerminal(0);
        return master;
    }
}
