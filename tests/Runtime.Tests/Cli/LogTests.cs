using System.Text.Json;
using KataLike.Linux;
using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Tests.Cli;

public class LogTests
{
    private static readonly DateTimeOffset At = new(2026, 11, 21, 3, 48, 26, TimeSpan.Zero);

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("two words", "\"two words\"")]
    [InlineData("exec: \"x\": no\n", "\"exec: \\\"x\\\": no\\n\"")]
    [InlineData("", "\"\"")]
    public void Text_is_as_logrus_writes_it(string message, string quoted) =>
        Assert.Equal($"time=\"2026-11-21T03:48:26Z\" level=error msg={quoted}", Log.FormatText("error", message, At));

    [Theory]
    [InlineData("exec: \"x\": 1 < 2 & ä\n\u0001")]
    public void Json_reads_back(string message)
    {
        using var json = JsonDocument.Parse(Log.FormatJson("error", message, At));
        Assert.Equal(message, json.RootElement.GetProperty("msg").GetString());
        Assert.Equal("error", json.RootElement.GetProperty("level").GetString());
        Assert.Equal(At, json.RootElement.GetProperty("time").GetDateTimeOffset());
    }

    [Theory]
    [InlineData("KILL", 9)]
    [InlineData("SIGKILL", 9)]
    [InlineData("sigterm", 15)]
    [InlineData("9", 9)]
    [InlineData("0", 0)]
    [InlineData("-1", -1)]
    [InlineData("IOT", 6)]
    [InlineData("SYS", 31)]
    [InlineData("FOO", null)]
    [InlineData("SIG", null)]
    [InlineData("", null)]
    public void Signals_have_names_and_numbers(string text, int? number) => Assert.Equal(number, Signals.Parse(text));

    [Fact]
    public void A_table_is_as_wide_as_its_cells() =>
        Assert.Equal("A    B\nlong c\n", Table.Format([["A", "B"], ["long", "c"]], space: 1));
}
