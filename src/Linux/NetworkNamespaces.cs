namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const nuint NS_GET_NSTYPE = 0xb703;
}

/// <summary>Network namespaces by descriptor.</summary>
public static unsafe class NetworkNamespaces
{
    /// <summary>Makes one with its loopback interface up; it lives as long as something holds it.</summary>
    public static FileDescriptor Create()
    {
        FileDescriptor? made = null;
        using var process = NamespaceFiles.Own(Namespaces.Network);
        Run(process, () =>
        {
            Libc.Check(Libc.unshare(Libc.CLONE_NEWNET), "unshare", "network namespace");
            Loopback.BringUp();
            made = NamespaceFiles.Own(Namespaces.Network);
        });
        return made!;
    }

    /// <summary>Opens a network namespace by its path.</summary>
    /// <exception cref="LinuxException">EINVAL: something else is there.</exception>
    public static FileDescriptor Open(string path)
    {
        // Not a pipe or device, which opening could block or disturb.
        using var place = Files.Open(path, Files.PathOnly);
        if (Files.Status(place).IsRegular)
        {
            var space = Files.Open(path, Files.ReadOnly | Files.NonBlocking);
            if (Libc.ioctl(space.Number, Libc.NS_GET_NSTYPE, null) == (int)Namespaces.Network)
                return space;
            space.Dispose();
        }
        throw new LinuxException(Errno.EINVAL, "open network namespace", path);
    }

    /// <summary>Whether two descriptors are of the same namespace.</summary>
    public static bool Same(FileDescriptor left, FileDescriptor right) => Files.AreSame(left, right);

    /// <summary>Moves the calling thread, and with it the children that it starts.</summary>
    public static void Enter(FileDescriptor space) =>
        Libc.Check(Libc.setns(space.Number, Libc.CLONE_NEWNET), "setns", "network namespace");

    /// <summary>Runs code there, on a thread of its own.</summary>
    public static void Run(FileDescriptor space, Action work) => NamespaceThread.Run(space, Namespaces.Network, default, work);
}
