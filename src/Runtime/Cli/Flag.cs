namespace KataLike.Runtime.Cli;

/// <summary>An OptionalText has its value after an equals sign only, and may have none.</summary>
internal enum FlagKind { Boolean, Text, OptionalText, TextList, Integer, Duration }

/// <summary>One option of a command. The names are without dashes, the long one first.</summary>
/// <param name="Default">Shown by --help only; the command decides what absence means.</param>
internal sealed record Flag(FlagKind Kind, string[] Names, string Usage, string? Default = null)
{
    public string Name => Names[0];

    public static Flag Boolean(string names, string usage) => new(FlagKind.Boolean, Split(names), usage);

    public static Flag Text(string names, string usage, string? @default = null) =>
        new(FlagKind.Text, Split(names), usage, @default);

    public static Flag OptionalText(string names, string usage) => new(FlagKind.OptionalText, Split(names), usage);

    public static Flag TextList(string names, string usage) => new(FlagKind.TextList, Split(names), usage);

    public static Flag Integer(string names, string usage) => new(FlagKind.Integer, Split(names), usage, "0");

    /// <param name="default">As Go writes durations: "5s".</param>
    public static Flag Duration(string names, string usage, string @default) => new(FlagKind.Duration, Split(names), usage, @default);

    private static string[] Split(string names) => names.Split(", ");
}
