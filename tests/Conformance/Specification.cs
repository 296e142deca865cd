using KataLike.Conformance.Tests.Clauses;

namespace KataLike.Conformance.Tests;

/// <summary>All clauses, and what docs/specification.md says of those that are not kept.</summary>
internal static class Specification
{
    private const string Begin = "<!-- differences:begin -->", End = "<!-- differences:end -->";

    public static IReadOnlyList<Clause> Clauses { get; } =
    [
        .. ConfigClauses.All, .. ProcessClauses.All, .. ExecClauses.All, .. RootClauses.All, .. MountClauses.All, .. NamespaceClauses.All,
        .. DeviceClauses.All, .. ResourceClauses.All, .. SeccompClauses.All, .. LinuxClauses.All, .. HookClauses.All, .. StateClauses.All, .. VmClauses.All,
    ];

    /// <summary>Names of clauses with the reason for each: the rows of a table between two markers.</summary>
    public static IReadOnlyDictionary<string, string> ReadDifferences(string document)
    {
        var text = File.ReadAllText(document);
        var table = text[text.IndexOf(Begin, StringComparison.Ordinal)..text.IndexOf(End, StringComparison.Ordinal)];
        return table.Split('\n').Where(line => line.StartsWith('|')).Skip(2).Select(line => line.Trim('|', ' ').Split(" | "))
            .ToDictionary(cells => cells[0].Trim(), cells => cells[1].Trim());
    }
}
