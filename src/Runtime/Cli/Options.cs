using System.Globalization;

namespace KataLike.Runtime.Cli;

/// <summary>What the options of one command line were set to, by long name, and the positional arguments.</summary>
internal sealed class Options(IReadOnlyDictionary<string, List<string>> values, IReadOnlyList<string> positionals)
{
    public IReadOnlyList<string> Positionals => positionals;

    public bool Has(string name) => values.ContainsKey(name);

    /// <summary>The last value given; null when there is none or it is empty, which runc takes for absent.</summary>
    public string? Text(string name) =>
        values.TryGetValue(name, out var list) && list[^1].Length > 0 ? list[^1] : null;

    public IReadOnlyList<string> TextList(string name) => values.TryGetValue(name, out var list) ? list : [];

    public bool Boolean(string name) => values.TryGetValue(name, out var list) && ToBoolean(list[^1]) == true;

    public int Integer(string name) =>
        values.TryGetValue(name, out var list) ? int.Parse(list[^1], CultureInfo.InvariantCulture) : 0;

    /// <summary>The spellings that Go's strconv.ParseBool knows; null for any other.</summary>
    public static bool? ToBoolean(string value) => value switch
    {
        "1" or "t" or "T" or "true" or "TRUE" or "True" => true,
        "0" or "f" or "F" or "false" or "FALSE" or "False" => false,
        _ => null,
    };
}
