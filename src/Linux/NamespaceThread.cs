using System.Runtime.ExceptionServices;

namespace KataLike.Linux;

/// <summary>Runs managed code in the namespaces of another process.</summary>
/// <remarks>
/// All namespaces but user and pid can be joined by one thread of a process with many. The thread is used once and
/// ends, so that no other work ever runs in those namespaces. Its umask is 0.
/// </remarks>
public static unsafe class NamespaceThread
{
    /// <exception cref="LinuxException">setns failed, or what the work threw.</exception>
    public static void Run(FileDescriptor pidFd, Namespaces kinds, Action work)
    {
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                // Root, working directory and umask are shared by threads until now.
                Libc.Check(Libc.unshare(Libc.CLONE_FS), "unshare", "the file system context");
                Libc.Check(Libc.setns(pidFd.Number, (int)kinds), "setns", kinds.ToString());
                _ = Libc.syscall(Libc.SYS_umask, 0);
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
