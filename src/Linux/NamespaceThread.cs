using System.Runtime.ExceptionServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_setfsuid = 122, SYS_setfsgid = 123, PR_SET_SECUREBITS = 28, SECBIT_NO_SETUID_FIXUP = 4;
}

/// <summary>Runs managed code in the namespaces of another process.</summary>
/// <remarks>
/// All namespaces but user and pid can be joined by one thread of a process with many. The thread is used once and
/// ends, so that no other work ever runs in those namespaces. Its umask is 0.
/// </remarks>
public static unsafe class NamespaceThread
{
    /// <param name="owner">Of the files that the work makes: in file systems of a user namespace nobody else can.</param>
    /// <exception cref="LinuxException">setns failed, or what the work threw.</exception>
    public static void Run(FileDescriptor pidFd, Namespaces kinds, (uint User, uint Group) owner, Action work)
    {
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                // Root, working directory and umask are shared by threads until now.
                Libc.Check(Libc.unshare(Libc.CLONE_FS), "unshare", "the file system context");
                Libc.Check(Libc.setns(pidFd.Number, (int)kinds), "setns", kinds.Names());
                _ = Libc.syscall(Libc.SYS_umask, 0);
                if (owner != default)
                    OwnFiles(owner.User, owner.Group);
                work();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        })
        { Name = "namespace set-up", IsBackground = true };
        thread.Start();
        thread.Join();
        failure?.Throw();
    }

    /// <summary>Gives the calling thread new namespaces of these kinds.</summary>
    public static void Separate(Namespaces kinds) => Libc.Check(Libc.unshare((int)kinds), "unshare", kinds.Names());

    /// <summary>The capabilities over files stay.</summary>
    private static void OwnFiles(uint user, uint group)
    {
        Libc.Check(Libc.syscall(Libc.SYS_prctl, Libc.PR_SET_SECUREBITS, Libc.SECBIT_NO_SETUID_FIXUP), "prctl", "PR_SET_SECUREBITS");
        // These two never fail; they answer what was.
        _ = Libc.syscall(Libc.SYS_setfsgid, (nint)group);
        _ = Libc.syscall(Libc.SYS_setfsuid, (nint)user);
    }

    /// <summary>Sets the host name of the calling thread's uts namespace.</summary>
    public static void SetHostName(string name)
    {
        fixed (byte* text = System.Text.Encoding.UTF8.GetBytes(name + '\0'))
            Libc.Check(Libc.sethostname(text, (nuint)System.Text.Encoding.UTF8.GetByteCount(name)), "sethostname", name);
    }

    /// <summary>Sets the NIS domain name of the calling thread's uts namespace.</summary>
    public static void SetDomainName(string name)
    {
        fixed (byte* text = System.Text.Encoding.UTF8.GetBytes(name + '\0'))
            Libc.Check(Libc.setdomainname(text, (nuint)System.Text.Encoding.UTF8.GetByteCount(name)), "setdomainname", name);
    }
}
