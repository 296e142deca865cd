using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>
/// Says why a program cannot be executed, in the words of runc and Go's os/exec, on which callers match. The child itself
/// has asked the kernel whether it may; this finds the reason, because that answer does not tell the cases apart.
/// </summary>
/// <param name="root">The container's root, as its processes see it.</param>
/// <param name="mayExecute">By the index of the candidate: a directory counts as executable.</param>
internal sealed class ExecutableLookup(RootDirectory root, ProcessPlan process, Func<int, bool> mayExecute)
{
    private const uint ExecutableByAny = 0x49;

    /// <summary>Null if the program is there.</summary>
    public ContainerException? Failure()
    {
        var name = process.Program;
        if (Enumerable.Range(0, process.Candidates.Count).Any(IsExecutable))
            return null;
        if (!name.Contains('/'))
            return new ContainerException($"{Prefix}exec: \"{name}\": executable file not found in $PATH");
        return Status(name) switch
        {
            Errno.None or Errno.EPERM => new ContainerException($"{Prefix}exec: \"{name}\": permission denied"),
            var errno => new ContainerException($"{Prefix}exec: \"{name}\": stat {name}: {errno.Text()}"),
        };
    }

    /// <summary>What runc says before whatever goes wrong with a process.</summary>
    public const string Prefix = "unable to start container process: ";

    /// <summary>What execve's refusal means where the program is there: no interpreter, a wrong format, no permission.</summary>
    public static ContainerException Explain(ProcessPlan process, LinuxException refusal) => refusal.Errno == Errno.EACCES
        ? new ContainerException($"{Prefix}exec: \"{process.Program}\": permission denied", refusal)
        : new ContainerException($"{Prefix}exec {refusal.Operand}: {refusal.Errno.Text()}", refusal);

    private bool IsExecutable(int candidate) =>
        mayExecute(candidate) && Status(process.Candidates[candidate]) is Errno.None or Errno.ELOOP;

    /// <summary>EPERM: there, but a directory or not executable. ELOOP: a link of /proc, which only the child can follow.</summary>
    private Errno Status(string path)
    {
        var absolute = path.StartsWith('/') ? path : $"{process.WorkingDirectory}/{path}";
        if (root.TryOpen(absolute, Files.PathOnly, out var file) is var errno and not Errno.None)
            return errno;
        using (file)
        {
            var status = Files.Status(file!);
            return status.IsDirectory || (status.Mode & ExecutableByAny) == 0 ? Errno.EPERM : Errno.None;
        }
    }
}
