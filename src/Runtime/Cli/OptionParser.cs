using System.Globalization;

namespace KataLike.Runtime.Cli;

/// <summary>
/// Splits arguments into options and positionals as Go's flag package does, because callers are written against runc
/// (docs/decisions/0005): one dash or two, "--flag=value" or "--flag value", no value after a boolean, the first
/// positional or "--" ends the options.
/// </summary>
internal static class OptionParser
{
    /// <param name="optionsAnywhere">
    /// Options may also follow positionals, as for all of runc's commands but exec and ps.
    /// </param>
    /// <exception cref="UsageException">An argument does not fit; the text is Go's.</exception>
    public static Options Parse(IReadOnlyList<Flag> flags, IEnumerable<string> arguments, bool optionsAnywhere = false)
    {
        var rest = new Queue<string>(arguments);
        var values = new Dictionary<string, List<string>>();
        var positionals = new List<string>();
        while (rest.TryDequeue(out var argument))
        {
            if (argument == "--")
                break;
            if (IsOption(argument))
            {
                ParseOption(flags, argument, rest, values);
                continue;
            }
            positionals.Add(argument);
            if (!optionsAnywhere)
                break;
        }
        positionals.AddRange(rest);
        return new Options(values, positionals);
    }

    // A single dash is a positional: by custom the name of standard input.
    private static bool IsOption(string argument) => argument.Length > 1 && argument[0] == '-';

    private static void ParseOption(
        IReadOnlyList<Flag> flags, string argument, Queue<string> rest, Dictionary<string, List<string>> values)
    {
        var text = argument[(argument.StartsWith("--", StringComparison.Ordinal) ? 2 : 1)..];
        if (text.Length == 0 || text[0] is '-' or '=')
            throw new UsageException($"bad flag syntax: {argument}");
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        var name = equals < 0 ? text : text[..equals];
        var value = equals < 0 ? null : text[(equals + 1)..];

        if (name is "help" or "h")
            throw new HelpRequestedException();
        var flag = flags.FirstOrDefault(f => f.Names.Contains(name))
            ?? throw new UsageException($"flag provided but not defined: -{name}");
        if (flag.Kind == FlagKind.Boolean)
            value ??= "true";
        else if (flag.Kind == FlagKind.OptionalText)
            value ??= "";
        else if (value is null && !rest.TryDequeue(out value))
            throw new UsageException($"flag needs an argument: -{name}");

        Validate(flag, name, value!);
        if (!values.TryGetValue(flag.Name, out var list))
            values[flag.Name] = list = [];
        list.Add(value!);
    }

    private static void Validate(Flag flag, string name, string value)
    {
        switch (flag.Kind)
        {
            case FlagKind.Boolean when Options.ToBoolean(value) is null:
                throw new UsageException($"invalid boolean value \"{value}\" for -{name}: parse error");
            case FlagKind.Integer when !int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _):
            case FlagKind.Duration when GoDuration.Parse(value) is null:
                throw new UsageException($"invalid value \"{value}\" for flag -{name}: parse error");
        }
    }
}

/// <summary>The command line does not fit the command's options; the caller shows the usage.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>--help stood among the options.</summary>
internal sealed class HelpRequestedException : Exception;
