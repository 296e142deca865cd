using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Tests.Cli;

public class OptionParserTests
{
    private static readonly Flag[] Flags =
    [
        Flag.Boolean("detach, d", ""), Flag.Text("bundle, b", ""), Flag.TextList("env, e", ""), Flag.Integer("preserve-fds", ""),
    ];

    [Theory]
    [InlineData("--bundle X ID")]
    [InlineData("-bundle X ID")]
    [InlineData("--bundle=X ID")]
    [InlineData("-b X ID")]
    [InlineData("-b=X ID")]
    [InlineData("-b first --bundle X ID")]
    [InlineData("-d --bundle X -- ID")]
    [InlineData("--detach=false -b X ID")]
    public void Every_spelling_of_an_option_means_the_same(string line)
    {
        var options = OptionParser.Parse(Flags, line.Split(' '));
        Assert.Equal("X", options.Text("bundle"));
        Assert.Equal(["ID"], options.Positionals);
        Assert.Equal(line.StartsWith("-d ", StringComparison.Ordinal), options.Boolean("detach"));
    }

    [Fact]
    public void Options_end_at_the_first_positional()
    {
        var options = OptionParser.Parse(Flags, ["-e", "A=1", "-e=B=2", "ID", "sh", "-c", "-d", "--", "x"]);
        Assert.Equal(["A=1", "B=2"], options.TextList("env"));
        Assert.Equal(["ID", "sh", "-c", "-d", "--", "x"], options.Positionals);
        Assert.False(options.Boolean("detach"));
    }

    [Fact]
    public void Options_may_follow_positionals_where_the_command_allows_it()
    {
        var options = OptionParser.Parse(Flags, ["ID", "KILL", "-d", "--", "-9"], optionsAnywhere: true);
        Assert.Equal(["ID", "KILL", "-9"], options.Positionals);
        Assert.True(options.Boolean("detach"));
    }

    [Theory]
    [InlineData("--bogus", "flag provided but not defined: -bogus")]
    [InlineData("-bogus=1", "flag provided but not defined: -bogus")]
    [InlineData("--bundle", "flag needs an argument: -bundle")]
    [InlineData("-b", "flag needs an argument: -b")]
    [InlineData("--detach=maybe", "invalid boolean value \"maybe\" for -detach: parse error")]
    [InlineData("--preserve-fds=x", "invalid value \"x\" for flag -preserve-fds: parse error")]
    [InlineData("---d", "bad flag syntax: ---d")]
    [InlineData("-=x", "bad flag syntax: -=x")]
    public void Refusals_are_in_the_words_of_Go(string argument, string message) =>
        Assert.Equal(message, Assert.Throws<UsageException>(() => OptionParser.Parse(Flags, [argument])).Message);

    [Theory]
    [InlineData("-h")]
    [InlineData("--help")]
    public void Help_wins(string argument) =>
        Assert.Throws<HelpRequestedException>(() => OptionParser.Parse(Flags, ["-d", argument]));

    [Fact]
    public void A_single_dash_and_an_empty_word_are_positionals() =>
        Assert.Equal(["-", ""], OptionParser.Parse(Flags, ["-", ""], optionsAnywhere: true).Positionals);
}
