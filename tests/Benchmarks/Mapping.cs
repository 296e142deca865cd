using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>One mapping of a process, as /proc/PID/smaps has it.</summary>
/// <param name="Range">The name of its link in /proc/PID/map_files.</param>
/// <param name="Device">Major and minor number of the file's file system, in hexadecimal.</param>
/// <param name="Path">Of the file; empty where there is none.</param>
/// <param name="Pss">KiB: its private pages, and of each shared page the share.</param>
/// <param name="Anonymous">KiB of pages that are no longer the file's: a private mapping that was written to.</param>
internal sealed record Mapping(string Range, string Permissions, string Device, long Inode, string Path, long Size, long Pss, long Anonymous)
{
    private const long LargeKib = 16 << 10;

    /// <summary>A file that lives in memory only, in a mount that the kernel keeps to itself.</summary>
    public bool IsMemfd => IsMemfdPath(Path) || Path.StartsWith("/dev/zero", StringComparison.Ordinal) || Path.StartsWith("/SYSV", StringComparison.Ordinal);

    /// <summary>A file on a disk that a machine has for its memory: no program shares that much of one to write to it.</summary>
    public bool IsLargeAndWritable => Inode != 0 && Permissions[1] == 'w' && Permissions[3] == 's' && Size >= LargeKib;

    public static bool IsMemfdPath(string path) => path.StartsWith("/memfd:", StringComparison.Ordinal);

    public static IEnumerable<Mapping> Parse(IEnumerable<string> smaps)
    {
        Mapping? mapping = null;
        foreach (var line in smaps)
        {
            if (!char.IsAsciiLetterUpper(line[0]))
            {
                if (mapping is not null)
                    yield return mapping;
                var fields = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
                mapping = new Mapping(fields[0], fields[1], fields[3], long.Parse(fields[4], CultureInfo.InvariantCulture), fields.ElementAtOrDefault(5) ?? "", 0, 0, 0);
            }
            else if (mapping is not null)
            {
                mapping = line.Split(':')[0] switch
                {
                    "Size" => mapping with { Size = Kibibytes(line) },
                    "Pss" => mapping with { Pss = Kibibytes(line) },
                    "Anonymous" => mapping with { Anonymous = Kibibytes(line) },
                    _ => mapping,
                };
            }
        }
        if (mapping is not null)
            yield return mapping;
    }

    private static long Kibibytes(string line) =>
        long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
