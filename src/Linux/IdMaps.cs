namespace KataLike.Linux;

/// <summary>A range of ids as uid_map has it (user_namespaces(7)).</summary>
public readonly record struct IdRange(uint Inside, uint Outside, uint Size);

/// <summary>How a mount, or it and all below it, shows owners: inside is what the file system has, outside what is seen.</summary>
public sealed record IdMappings(IReadOnlyList<IdRange> Users, IReadOnlyList<IdRange> Groups, bool Recursive);

/// <summary>User namespaces that exist for their mappings only.</summary>
public static class IdMaps
{
    /// <summary>Maps the owners of a detached mount.</summary>
    /// <exception cref="LinuxException">EINVAL: its file system cannot, or ranges overlap.</exception>
    public static void Apply(FileDescriptor mount, IdMappings ids)
    {
        using var mapping = MakeNamespace(ids.Users, ids.Groups);
        Mounts.MapIds(mount, mapping, ids.Recursive);
    }

    /// <summary>A user namespace with these mappings and nobody in it, for <see cref="Mounts.MapIds"/>.</summary>
    /// <remarks>Its child has ended when this returns; a reaper of all children may see a pid that it does not know.</remarks>
    /// <exception cref="LinuxException">EINVAL: ranges overlap or are too many.</exception>
    public static FileDescriptor MakeNamespace(IReadOnlyList<IdRange> users, IReadOnlyList<IdRange> groups)
    {
        using var plan = new LaunchPlan();
        var (_, gate) = plan.WaitAtGate();
        using (gate)
        {
            using var child = plan.Launch(Namespaces.User);
            using var pidFd = child.PidFd;
            try
            {
                KernelFiles.Write($"/proc/{child.Pid}/uid_map", Lines(users));
                KernelFiles.Write($"/proc/{child.Pid}/gid_map", Lines(groups));
                return NamespaceFiles.Of(child.Pid, Namespaces.User);
            }
            finally
            {
                gate.Dispose();
                Reap(pidFd);
            }
        }
    }

    private static void Reap(FileDescriptor pidFd)
    {
        try
        {
            Processes.Wait(pidFd);
        }
        catch (LinuxException e) when (e.Errno == Errno.ECHILD)
        {
            // The process's own reaper was first.
        }
    }

    private static string Lines(IReadOnlyList<IdRange> ranges) =>
        string.Concat(ranges.Select(range => $"{range.Inside} {range.Outside} {range.Size}\n"));
}
