using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>A container's /etc/passwd, which is the container's to fill: what cannot be read there is not there.</summary>
internal static class PasswordFile
{
    private const int MaxLength = 1 << 20;

    /// <summary>The home directory of a user; "/" where there is none, as runc has it.</summary>
    public static string Home(RootDirectory root, uint userId, string path = "/etc/passwd")
    {
        // Without blocking: it could be a FIFO.
        if (root.TryOpen(path, Files.ReadOnly | Files.NonBlocking, out var file) != Errno.None)
            return "/";
        using (file)
            return Files.Status(file!).IsRegular ? Home(KernelFiles.Read(file!, MaxLength), userId) : "/";
    }

    /// <summary>Lines of name:password:uid:gid:comment:home:shell.</summary>
    public static string Home(string content, uint userId) => content.Split('\n')
        .Select(line => line.Split(':'))
        .FirstOrDefault(fields => fields.Length >= 6 && uint.TryParse(fields[2], out var id) && id == userId)?[5] is { Length: > 0 } home
        ? home : "/";
}
