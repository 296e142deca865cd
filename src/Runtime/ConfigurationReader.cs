using System.Globalization;
using System.Text;

namespace KataLike.Runtime;

/// <summary>One <c>key = value</c> with its place. The value is a string, long, bool or string[].</summary>
internal sealed record ConfigurationEntry(string File, int Line, string Section, string Key, object Value)
{
    public RuntimeException Error(string reason) => new($"configuration {File}:{Line}: {reason}");

    public string Text() => Value as string ?? throw Error($"{Key} must be a string");

    public string AbsolutePath() =>
        Text() is ['/', ..] path ? path : throw Error($"{Key} must be an absolute path");

    public bool Boolean() => Value as bool? ?? throw Error($"{Key} must be true or false");

    public IReadOnlyList<string> Strings() => Value as string[] ?? throw Error($"{Key} must be an array of strings");

    /// <summary>An array of some of these.</summary>
    public IReadOnlyList<string> Names(IReadOnlyCollection<string> known) =>
        Strings().FirstOrDefault(name => !known.Contains(name)) is { } unknown
            ? throw Error($"{Key}: unknown name {unknown}: did you mean {NearestName.To(unknown, known)}?") : Strings();

    public int Integer(int least, int most) =>
        Value is long number && number >= least && number <= most
            ? (int)number
            : throw Error($"{Key} must be an integer from {least} to {most}");

    public T OneOf<T>() where T : struct, Enum
    {
        foreach (var value in Enum.GetValues<T>())
            if (string.Equals($"{value}", Text(), StringComparison.OrdinalIgnoreCase))
                return value;
        throw Error($"{Key} must be one of {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}");
    }
}

/// <summary>
/// The subset of TOML that the configuration needs: sections, <c>key = value</c> with basic strings, literal strings,
/// decimal integers, booleans and arrays of strings on one line, and comments. Anything else is an error with its line.
/// </summary>
internal static class ConfigurationReader
{
    public static List<ConfigurationEntry> Read(string text, string file)
    {
        var entries = new List<ConfigurationEntry>();
        var seen = new HashSet<(string, string)>();
        var section = "";
        var number = 0;
        foreach (var raw in text.Split('\n'))
        {
            var line = new Line(raw.TrimEnd('\r'), file, ++number);
            line.SkipBlanks();
            if (line.AtEnd)
                continue;
            if (line.Take('['))
            {
                section = line.Name();
                line.Expect(']');
            }
            else
            {
                var key = line.Name();
                line.Expect('=');
                var value = line.Value();
                if (!seen.Add((section, key)))
                    throw line.Error($"{key} is given twice");
                entries.Add(new ConfigurationEntry(file, number, section, key, value));
            }
            line.SkipBlanks();
            if (!line.AtEnd)
                throw line.Error("unexpected text at the end of the line");
        }
        return entries;
    }

    private sealed class Line(string text, string file, int number)
    {
        private int _at;

        public bool AtEnd => _at == text.Length || text[_at] == '#';

        public RuntimeException Error(string reason) => new($"configuration {file}:{number}: {reason}");

        public void SkipBlanks()
        {
            while (_at < text.Length && text[_at] is ' ' or '\t')
                _at++;
        }

        public bool Take(char expected)
        {
            SkipBlanks();
            if (_at == text.Length || text[_at] != expected)
                return false;
            _at++;
            return true;
        }

        public void Expect(char expected)
        {
            if (!Take(expected))
                throw Error($"expected {expected}");
        }

        public string Name()
        {
            SkipBlanks();
            var start = _at;
            while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '_' or '-'))
                _at++;
            return _at > start ? text[start.._at] : throw Error("expected a name");
        }

        public object Value()
        {
            if (Take('['))
                return Strings();
            if (Take('"'))
                return BasicString();
            if (Take('\''))
                return LiteralString();
            var word = Word();
            if (word is "true" or "false")
                return word == "true";
            return long.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var integer)
                ? integer
                : throw Error($"{(word.Length == 0 ? "nothing" : word)} is no string, integer, boolean or array of strings");
        }

        private string Word()
        {
            var start = _at;
            while (!AtEnd && text[_at] is not (' ' or '\t'))
                _at++;
            return text[start.._at];
        }

        private string[] Strings()
        {
            var items = new List<string>();
            while (!Take(']'))
            {
                if (items.Count > 0)
                {
                    Expect(',');
                    if (Take(']'))
                        break;
                }
                items.Add(Take('"') ? BasicString() : Take('\'') ? LiteralString() : throw Error("expected a string or ]"));
            }
            return [.. items];
        }

        private string LiteralString()
        {
            var end = text.IndexOf('\'', _at);
            if (end < 0)
                throw Error("a string without its end");
            var value = text[_at..end];
            _at = end + 1;
            return value;
        }

        private string BasicString()
        {
            var value = new StringBuilder();
            while (_at < text.Length)
            {
                var c = text[_at++];
                if (c == '"')
                    return value.ToString();
                if (c == '\\' && _at < text.Length)
                    c = text[_at++] switch
                    {
                        '"' => '"',
                        '\\' => '\\',
                        't' => '\t',
                        'n' => '\n',
                        var other => throw Error($"unknown escape \\{other}"),
                    };
                value.Append(c);
            }
            throw Error("a string without its end");
        }
    }
}
