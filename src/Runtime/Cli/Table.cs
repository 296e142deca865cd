namespace KataLike.Runtime.Cli;

/// <summary>Columns as wide as their widest cell.</summary>
internal static class Table
{
    /// <param name="minimumWidth">Of each column, with the space behind it.</param>
    public static string Format(IReadOnlyList<string[]> rows, int minimumWidth = 0, int space = 3)
    {
        var widths = Enumerable.Range(0, rows[0].Length)
            .Select(column => Math.Max(minimumWidth, rows.Max(row => row[column].Length) + space)).ToArray();
        return string.Concat(rows.Select(row =>
            string.Concat(row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd() + "\n"));
    }
}
