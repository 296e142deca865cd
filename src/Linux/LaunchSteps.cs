namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    // Numbers of x86-64; arm64 has a table of its own when it is built for.
    internal const int SYS_read = 0;
    internal const int SYS_ioctl = 16;
    internal const int SYS_execve = 59;
    internal const int SYS_fcntl = 72;
    internal const int SYS_chdir = 80;
    internal const int SYS_fchdir = 81;
    internal const int SYS_umask = 95;
    internal const int SYS_setsid = 112;
    internal const int SYS_prctl = 157;
    internal const int SYS_chroot = 161;
    internal const int SYS_unshare = 272;
    internal const int SYS_dup3 = 292;
    internal const int SYS_setns = 308;
    internal const int SYS_clone3 = 435;
    internal const int CLONE_PARENT = 0x8000;
    internal const int SYS_close_range = 436;
    internal const int SYS_faccessat2 = 439;

    internal const int PR_SET_PDEATHSIG = 1;
    internal const int PR_SET_DUMPABLE = 4;
    internal const int PR_SET_NO_NEW_PRIVS = 38;
    internal const int X_OK = 1, AT_EACCESS = 0x200;
}

public sealed unsafe partial class LaunchPlan
{
    private FileDescriptor? _pidNamespace;

    /// <summary>
    /// A point where the child says that it has arrived (<see cref="LaunchedProcess.WaitFor"/>) and waits, without
    /// managed code, until the gate opens. It leaves if the parent lets go of the gate or dies.
    /// </summary>
    public (Step Arrival, Gate Gate) WaitAtGate()
    {
        var (parent, child) = Channel(childWrites: false);
        // No call at all: a filter that is loaded by then could forbid any.
        var arrival = Add("arrive", null, -1, Libc.KATALIKE_REPORT);
        Add("read", "the gate", Libc.SYS_read, Libc.KATALIKE_GATE, child.Number, Allocate([0]), 1);
        return (arrival, new Gate(parent));
    }

    /// <summary>
    /// Gives descriptors numbers in the child, without close-on-exec, whatever numbers they have here. No step after
    /// this one may name a descriptor of the parent. Standard streams that are not given are /dev/null.
    /// </summary>
    public void GiveDescriptors(IReadOnlyList<(FileDescriptor File, int Number)> descriptors)
    {
        if (descriptors.Any(given => given.Number is < 0 or >= ReservedDescriptors))
        {
            throw new ArgumentOutOfRangeException(nameof(descriptors), $"a child's descriptors are below {ReservedDescriptors}");
        }
        var all = descriptors.ToList();
        foreach (var stream in Enumerable.Range(0, 3).Where(number => !descriptors.Any(given => given.Number == number)))
        {
            _null ??= Files.Open("/dev/null", Files.ReadWrite);
            all.Add((_null, stream));
        }
        // First all out of the way, then each to its place: a source may have the number that another one gets.
        var sources = all.ConvertAll(given => MoveUp(Keep(given.File)));
        for (var i = 0; i < all.Count; i++)
        {
            MoveTo(sources[i], all[i].Number);
        }
    }

    private FileDescriptor? _null;

    private Step MoveUp(Argument file) =>
        Add("fcntl", "F_DUPFD_CLOEXEC", Libc.SYS_fcntl, 0, file, Libc.F_DUPFD_CLOEXEC, ReservedDescriptors);

    private void MoveTo(Step file, int number) => Add("dup3", $"to {number}", Libc.SYS_dup3, 0, file, number, 0);

    /// <summary>Makes the child leader of a new session, without a terminal (setsid(2)).</summary>
    public void NewSession() => Add("setsid", null, Libc.SYS_setsid, 0);

    /// <summary>Makes one of the child's descriptors its session's terminal.</summary>
    public void ControllingTerminal(int number) => Add("ioctl", "TIOCSCTTY", Libc.SYS_ioctl, 0, number, Libc.TIOCSCTTY, 0);

    public void ChangeDirectory(string path) => Add("chdir", path, Libc.SYS_chdir, 0, Text(path));

    /// <summary>Makes a directory the child's root and working directory. It must stay open until the launch.</summary>
    public void ChangeRoot(FileDescriptor directory)
    {
        Add("fchdir", "the root", Libc.SYS_fchdir, 0, Keep(directory));
        Add("chroot", "the root", Libc.SYS_chroot, 0, Text("."));
    }

    public void SetUmask(int mask) => Add("umask", null, Libc.SYS_umask, 0, mask);

    /// <summary>
    /// Has the kernel signal the child when the thread (not the process) that launches it ends: launch from a thread
    /// that lives as long as the child should. The child does not outlive a parent that died before this step.
    /// </summary>
    public void ParentDeathSignal(int signal) =>
        // Reporting is the check for a parent that is gone: the write then ends the child with SIGPIPE.
        Add("prctl", "PR_SET_PDEATHSIG", Libc.SYS_prctl, Libc.KATALIKE_REPORT, Libc.PR_SET_PDEATHSIG, signal, 0, 0, 0);

    /// <summary>The child is born in this pid namespace, which must be the caller's own or one below it.</summary>
    public void JoinPidNamespace(FileDescriptor pidNamespace) => _pidNamespace = pidNamespace;

    /// <summary>Joins the namespace of that kind; of a pidfd, all the kinds of that process.</summary>
    public void JoinNamespaces(FileDescriptor file, Namespaces kinds) =>
        Add("setns", kinds.Names(), Libc.SYS_setns, 0, Keep(file), (long)kinds);

    /// <summary>Makes namespaces here and now. A cgroup namespace takes the child's cgroup as its root.</summary>
    public void NewNamespaces(Namespaces kinds) =>
        Add("unshare", kinds.Names(), Libc.SYS_unshare, 0, (long)kinds);

    /// <summary>Asks whether the child, such as it is by then, may execute a file: <see cref="LaunchedProcess.HasReported"/>.</summary>
    public Step ProbeExecutable(string path) => Add(
        "faccessat2", path, Libc.SYS_faccessat2, Libc.KATALIKE_OPTIONAL | Libc.KATALIKE_REPORT,
        Libc.AT_FDCWD, Text(path), Libc.X_OK, Libc.AT_EACCESS);

    /// <summary>
    /// Makes namespaces with a second clone3, whose child goes on with the plan, as a child of the caller; the first
    /// one ends. So they belong to the user namespace that steps before this one have joined, and the child is in a
    /// pid namespace that was joined so. See <see cref="LaunchedProcess.Follow"/>.
    /// </summary>
    /// <param name="cgroup">A cgroup v2 directory that the child is born in; open until the launch.</param>
    public Step CloneAgain(Namespaces kinds, FileDescriptor cgroup)
    {
        var clone = new Libc.clone_args
        {
            flags = (uint)kinds | Libc.CLONE_PARENT | Libc.CLONE_INTO_CGROUP,
            cgroup = (ulong)Keep(cgroup),
        };
        return Add("clone3", null, Libc.SYS_clone3, Libc.KATALIKE_CLONE, Allocate<Libc.clone_args>([clone]), sizeof(Libc.clone_args));
    }

    /// <summary>
    /// Executes the first of the candidates that can be: one that is missing or not executable is passed over, the
    /// last one's error is reported. Ends the plan.
    /// </summary>
    public void Execute(IReadOnlyList<string> candidates, IReadOnlyList<string> arguments, IReadOnlyList<string> environment)
    {
        var (argv, envp) = (Texts(arguments), Texts(environment));
        for (var i = 0; i < candidates.Count; i++)
        {
            var flags = i < candidates.Count - 1 ? Libc.KATALIKE_ABSENT : 0;
            Add("execve", candidates[i], Libc.SYS_execve, flags, Text(candidates[i]), argv, envp);
        }
    }
}
