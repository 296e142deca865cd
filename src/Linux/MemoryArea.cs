using System.Globalization;

namespace KataLike.Linux;

/// <summary>A line of /proc/PID/maps.</summary>
internal sealed record MemoryArea(ulong Start, ulong End, string Permissions, ulong Offset, ulong Inode, string Path)
{
    public ulong Length => End - Start;

    public bool Shared => Permissions[3] == 's';

    /// <summary>PROT_*.</summary>
    public ulong Protection =>
        (ulong)((Permissions[0] == 'r' ? Libc.PROT_READ : 0) | (Permissions[1] == 'w' ? Libc.PROT_WRITE : 0) | (Permissions[2] == 'x' ? Libc.PROT_EXEC : 0));

    public static List<MemoryArea> Of(int pid) => [.. File.ReadLines($"/proc/{pid}/maps").Select(Parse)];

    private static MemoryArea Parse(string line)
    {
        // The path may hold blanks.
        var fields = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
        var range = fields[0].Split('-');
        return new MemoryArea(
            Hexadecimal(range[0]), Hexadecimal(range[1]), fields[1], Hexadecimal(fields[2]), ulong.Parse(fields[4], CultureInfo.InvariantCulture),
            fields.Length > 5 ? fields[5].TrimStart(' ') : "");
    }

    private static ulong Hexadecimal(string number) => ulong.Parse(number, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
