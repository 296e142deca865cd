using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>
/// Says why a program cannot be executed, in the words of Go's os/exec, on which callers of runc match. The kernel's
/// answer to execve decides; this looks first, because that answer does not tell the cases apart.
/// </summary>
internal static class ExecutableLookup
{
    private const uint ExecutableByAny = 0x49;

    /// <summary>Null if the program is there.</summary>
    /// <param name="root">The container's root, as its processes see it.</param>
    public static ContainerException? Explain(RootDirectory root, ProcessPlan process)
    {
        var name = process.Arguments[0];
        if (!name.Contains('/'))
        {
            return process.Candidates.Any(path => Check(root, process, path) == Errno.None)
                ? null : new ContainerException($"exec: \"{name}\": executable file not found in $PATH");
        }
        return Check(root, process, name) switch
        {
            Errno.None => null,
            Errno.EPERM => new ContainerException($"exec: \"{name}\": permission denied"),
            var errno => new ContainerException($"exec: \"{name}\": stat {name}: {errno.Text()}"),
        };
    }

    /// <summary>What execve's refusal means where the program is there: no interpreter, a wrong format, no permission.</summary>
    public static ContainerException Explain(ProcessPlan process, LinuxException refusal) => refusal.Errno == Errno.EACCES
        ? new ContainerException($"exec: \"{process.Arguments[0]}\": permission denied", refusal)
        : new ContainerException($"exec {refusal.Operand}: {refusal.Errno.Text()}", refusal);

    /// <summary>EPERM: there, but a directory or not executable.</summary>
    private static Errno Check(RootDirectory root, ProcessPlan process, string path)
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
