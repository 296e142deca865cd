using System.Globalization;
using System.Text;

namespace KataLike.Linux;

/// <summary>One mount, as /proc/self/mountinfo tells it (proc_pid_mountinfo(5)).</summary>
/// <param name="Device">Of the file system, as major:minor.</param>
/// <param name="Root">The part of the file system that is mounted.</param>
/// <param name="Options">Of the file system.</param>
public sealed record MountEntry(string Device, string Root, string Place, string Type, string Options);

/// <summary>The mounts of this process, lowest first.</summary>
public sealed class MountTable(IReadOnlyList<MountEntry> entries)
{
    public IReadOnlyList<MountEntry> Entries => entries;

    public static MountTable Read() => Parse(File.ReadAllText("/proc/self/mountinfo"));

    public static MountTable Parse(string text) => new([.. text.Split('\n').Select(Line).OfType<MountEntry>()]);

    /// <summary>The mount that a path without links is on.</summary>
    public MountEntry? Of(string path)
    {
        MountEntry? found = null;
        foreach (var entry in entries)
        {
            if (IsBelow(path, entry.Place) && entry.Place.Length >= (found?.Place.Length ?? 0))
                found = entry;
        }
        return found;
    }

    private static bool IsBelow(string path, string directory) =>
        directory == "/" || path == directory || path.StartsWith(directory + '/', StringComparison.Ordinal);

    private static MountEntry? Line(string line)
    {
        // id, parent, device, root, place, attributes, any number of tags, "-", type, source, options
        var fields = line.Split(' ');
        var dash = Array.IndexOf(fields, "-", Math.Min(6, fields.Length));
        return dash < 0 || fields.Length < dash + 4
            ? null : new MountEntry(fields[2], Plain(fields[3]), Plain(fields[4]), fields[dash + 1], fields[dash + 3]);
    }

    /// <summary>Undoes the octal escapes of blanks and backslashes.</summary>
    private static string Plain(string field)
    {
        if (!field.Contains('\\'))
            return field;
        var bytes = Encoding.UTF8.GetBytes(field);
        var plain = new List<byte>(bytes.Length);
        for (var at = 0; at < bytes.Length; at++)
        {
            var isEscape = bytes[at] == '\\' && at + 3 < bytes.Length && bytes.AsSpan(at + 1, 3).IndexOfAnyExceptInRange((byte)'0', (byte)'7') < 0;
            plain.Add(isEscape ? (byte)(((bytes[at + 1] - '0') << 6) | ((bytes[at + 2] - '0') << 3) | (bytes[at + 3] - '0')) : bytes[at]);
            at += isEscape ? 3 : 0;
        }
        return Encoding.UTF8.GetString([.. plain]);
    }

    /// <summary>The size that a tmpfs was given, bytes; 0 if none.</summary>
    public static ulong SizeOf(MountEntry tmpfs)
    {
        var text = tmpfs.Options.Split(',').FirstOrDefault(option => option.StartsWith("size=", StringComparison.Ordinal))?[5..].TrimEnd('k');
        return ulong.TryParse(text, CultureInfo.InvariantCulture, out var kibibytes) ? kibibytes << 10 : 0;
    }
}
