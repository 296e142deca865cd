using System.Text;

namespace KataLike.Runtime.Cli;

/// <summary>The text of --help, in the layout that runc's users know.</summary>
internal static class Help
{
    public static string ForProgram(IEnumerable<Command> commands)
    {
        var rows = commands.Select(c => (c.Name, c.Summary)).Append(("help, h", "shows a list of commands or help for one command"));
        return $"""
            NAME:
               katalike - Open Container Initiative runtime that gives every container a virtual machine of its own

            USAGE:
               katalike [global options] command [command options] [arguments...]

            VERSION:
               {Version.Text.ReplaceLineEndings("\n   ")}

            COMMANDS:
            {Table(rows)}

            GLOBAL OPTIONS:
            {Table(GlobalOptions.Flags.Append(Version.Flag).Select(Row).Append(("--help, -h", "show help")))}

            """;
    }

    public static string ForCommand(Command command)
    {
        var text = new StringBuilder($"NAME:\n   katalike {command.Name} - {command.Summary}\n\nUSAGE:\n   katalike {command.Name} ");
        if (command.Flags.Count > 0)
            text.Append("[command options] ");
        text.Append(command.Arguments).Append('\n');
        if (command.Description.Length > 0)
            text.Append("\nDESCRIPTION:\n   ").Append(command.Description.ReplaceLineEndings("\n   ")).Append('\n');
        if (command.Flags.Count > 0)
            text.Append("\nOPTIONS:\n").Append(Table(command.Flags.Select(Row))).Append('\n');
        return text.ToString();
    }

    private static (string, string) Row(Flag flag)
    {
        var value = flag.Kind switch { FlagKind.Boolean => "", FlagKind.OptionalText => "[=value]", _ => " value" };
        var names = string.Join(", ", flag.Names.Select(n => (n.Length == 1 ? "-" : "--") + n + value));
        return (names, flag.Default is null ? flag.Usage : $"{flag.Usage} (default: {flag.Default})");
    }

    private static string Table(IEnumerable<(string Left, string Right)> rows)
    {
        var list = rows.ToList();
        var width = list.Max(r => r.Left.Length) + 2;
        return string.Join("\n", list.Select(r => "   " + r.Left.PadRight(width) + r.Right));
    }
}
