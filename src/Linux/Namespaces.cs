using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int CLONE_NEWNS = 0x20000;
    internal const int CLONE_NEWCGROUP = 0x2000000;
    internal const int CLONE_NEWUTS = 0x4000000;
    internal const int CLONE_NEWIPC = 0x8000000;
    internal const int CLONE_NEWUSER = 0x10000000;
    internal const int CLONE_NEWPID = 0x20000000;
    internal const int CLONE_NEWNET = 0x40000000;
    internal const int CLONE_FS = 0x200;
    internal const int CLONE_NEWTIME = 0x80;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int unshare(int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int setns(int fd, int kinds);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int sethostname(byte* name, nuint length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int setdomainname(byte* name, nuint length);
}

/// <summary>Kinds of namespaces, by their clone flags (namespaces(7)).</summary>
[Flags]
public enum Namespaces
{
    None = 0,
    Mount = Libc.CLONE_NEWNS,
    Cgroup = Libc.CLONE_NEWCGROUP,
    Uts = Libc.CLONE_NEWUTS,
    Ipc = Libc.CLONE_NEWIPC,
    User = Libc.CLONE_NEWUSER,
    Pid = Libc.CLONE_NEWPID,
    Network = Libc.CLONE_NEWNET,
    Time = Libc.CLONE_NEWTIME,
}

public static class NamespaceNames
{
    private static readonly (Namespaces Kind, string Name)[] _names =
    [
        (Namespaces.Mount, "mount"), (Namespaces.Cgroup, "cgroup"), (Namespaces.Uts, "uts"), (Namespaces.Ipc, "ipc"),
        (Namespaces.User, "user"), (Namespaces.Pid, "pid"), (Namespaces.Network, "network"), (Namespaces.Time, "time"),
    ];

    /// <summary>For messages. (Enum.ToString begins with reflection, which each new guest would pay.)</summary>
    public static string Names(this Namespaces kinds) => string.Join(", ", _names.Where(entry => kinds.HasFlag(entry.Kind)).Select(entry => entry.Name));
}

/// <summary>Descriptors of namespaces, for setns.</summary>
public static class NamespaceFiles
{
    /// <summary>The calling thread's namespace of one kind; of pid, the one its children are born in.</summary>
    public static FileDescriptor Own(Namespaces kind) => Open($"/proc/thread-self/ns/{FileName(kind)}");

    /// <summary>A process's namespace of one kind.</summary>
    /// <exception cref="LinuxException">ENOENT: the process has ended.</exception>
    public static FileDescriptor Of(int pid, Namespaces kind) => Open($"/proc/{pid}/ns/{FileName(kind)}");

    private static FileDescriptor Open(string path) => Files.Open(path, Files.ReadOnly);

    private static string FileName(Namespaces kind) => kind switch
    {
        Namespaces.Mount => "mnt",
        Namespaces.Cgroup => "cgroup",
        Namespaces.Uts => "uts",
        Namespaces.Ipc => "ipc",
        Namespaces.User => "user",
        Namespaces.Pid => "pid",
        Namespaces.Network => "net",
        // A process's own changes with execve only; this is the one that it has made or joined.
        Namespaces.Time => "time_for_children",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "one kind of namespace is wanted"),
    };
}
