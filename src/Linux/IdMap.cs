using System.Globalization;

namespace KataLike.Linux;

/// <summary>How a user namespace's ids are those outside of it (user_namespaces(7)).</summary>
public sealed record IdMap(IReadOnlyList<IdRange> Users, IReadOnlyList<IdRange> Groups)
{
    /// <summary>The ids outside of the namespace's root user.</summary>
    public (uint User, uint Group) Root => (User(0) ?? 0, Group(0) ?? 0);

    /// <summary>The id outside of a user inside; null where it has none.</summary>
    public uint? User(uint inside) => Outside(Users, inside);

    /// <inheritdoc cref="User"/>
    public uint? Group(uint inside) => Outside(Groups, inside);

    /// <summary>Gives a process's new user namespace its mappings, once.</summary>
    public void WriteTo(int pid)
    {
        KernelFiles.Write($"/proc/{pid}/uid_map", Lines(Users));
        KernelFiles.Write($"/proc/{pid}/gid_map", Lines(Groups));
    }

    private static uint? Outside(IReadOnlyList<IdRange> ranges, uint inside)
    {
        foreach (var range in ranges)
        {
            if (inside >= range.Inside && inside - range.Inside < range.Size)
                return range.Outside + (inside - range.Inside);
        }
        return null;
    }

    private static string Lines(IReadOnlyList<IdRange> ranges) => string.Concat(
        ranges.Select(range => string.Create(CultureInfo.InvariantCulture, $"{range.Inside} {range.Outside} {range.Size}\n")));
}
