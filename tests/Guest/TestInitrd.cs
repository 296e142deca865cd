using System.Globalization;
using System.Text;

namespace KataLike.Guest.Tests;

/// <summary>The project's initrd with root file systems for containers before it: the kernel unpacks both archives.</summary>
internal static class TestInitrd
{
    public const string SharedDirectory = "run/katalike/shared";
    private const string Busybox = "/bin/busybox";

    private const int DirectoryMode = 0x41ed; // 040755
    private const int ProgramMode = 0x81ed; // 0100755
    private const int LinkMode = 0xa1ff; // 0120777

    private static readonly string[] Applets =
    [
        "sh", "cat", "echo", "sleep", "dd", "true", "head", "tail", "sha256sum", "stty", "hostname", "ps", "kill", "wc",
        "tty", "yes", "id", "env", "ls", "test", "grep", "usleep", "seq", "mkdir", "printf",
    ];

    /// <param name="rootfs">Names of the file systems, each at SHARED/NAME/rootfs with its name in /name.</param>
    public static void Write(string initrd, string target, params string[] rootfs)
    {
        using var archive = File.Create(target);
        foreach (var directory in (string[])["run", "run/katalike", SharedDirectory])
        {
            Add(archive, directory, DirectoryMode, []);
        }
        foreach (var name in rootfs)
        {
            AddRootfs(archive, $"{SharedDirectory}/{name}", name);
        }
        Add(archive, "TRAILER!!!", 0, []);
        // The compressed one comes last: its format has no mark for its end.
        using var original = File.OpenRead(initrd);
        original.CopyTo(archive);
    }

    public static bool HasBusybox => File.Exists(Busybox) || File.Exists("/usr" + Busybox);

    private static void AddRootfs(Stream archive, string parent, string name)
    {
        Add(archive, parent, DirectoryMode, []);
        var root = parent + "/rootfs";
        foreach (var directory in (string[])["", "/bin", "/dev", "/etc", "/proc", "/sys", "/tmp"])
        {
            Add(archive, root + directory, DirectoryMode, []);
        }
        Add(archive, root + "/name", 0x81a4, Encoding.ASCII.GetBytes(name));
        Add(archive, root + "/bin/busybox", ProgramMode, File.ReadAllBytes(File.Exists(Busybox) ? Busybox : "/usr" + Busybox));
        foreach (var applet in Applets)
        {
            Add(archive, $"{root}/bin/{applet}", LinkMode, "busybox"u8);
        }
    }

    /// <summary>One member of a newc archive (Documentation/driver-api/early-userspace/buffer-format.rst).</summary>
    private static void Add(Stream archive, string name, int mode, ReadOnlySpan<byte> content)
    {
        var header = new StringBuilder("070701");
        foreach (var field in (int[])[0, mode, 0, 0, 1, 0, content.Length, 0, 0, 0, 0, name.Length + 1, 0])
        {
            header.Append(field.ToString("X8", CultureInfo.InvariantCulture));
        }
        archive.Write(Encoding.ASCII.GetBytes(header.ToString() + name + '\0'));
        Pad(archive);
        archive.Write(content);
        Pad(archive);
    }

    private static void Pad(Stream archive) => archive.Write(new byte[(4 - (archive.Position % 4)) % 4]);
}
