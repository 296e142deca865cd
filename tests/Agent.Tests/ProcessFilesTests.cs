using KataLike.Agent.Service;

namespace KataLike.Agent.Tests;

public sealed class ProcessFilesTests
{
    private static readonly DateTime Boot = new(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    // Recorded from Linux 6.12; the name holds what would mislead a parser that splits at spaces or at the first ')'.
    private const string Stat =
        "73 (a) S (b 1) S 71 73 73 34816 80 4194304 1018 9 0 0 7 5 0 0 20 0 1 0 4242 2588672 512 18446744073709551615 "
        + "4194304 6291456 140736 0 0 0 0 4 65538 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0";

    [Fact]
    public void Stat_is_read_field_by_field()
    {
        var process = ProcessFiles.ParseStat(Stat, Boot);
        Assert.Equal((73u, 71u), (process.Pid, process.ParentPid));
        Assert.Equal(("pts/0", "S"), (process.Terminal, process.State));
        Assert.Equal(120_000_000ul, process.CpuTime);
        Assert.Equal(Boot.AddSeconds(42.42), process.StartedAt.ToDateTime());
    }

    [Theory]
    [InlineData(0, "?")]
    [InlineData(34819, "pts/3")]
    [InlineData((137 << 8) | 5, "pts/261")]
    [InlineData((4 << 8) | 64, "4:64")]
    public void Terminals_have_the_names_of_ps(int device, string name) =>
        Assert.Equal(name, ProcessFiles.ParseStat(Stat.Replace(" 34816 ", $" {device} ", StringComparison.Ordinal), Boot).Terminal);

    [Fact]
    public void The_real_user_is_the_first_of_four() =>
        Assert.Equal(1000u, ProcessFiles.ParseUid("Name:\tsh\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n"));

    [Fact]
    public void Arguments_end_with_a_zero_each()
    {
        Assert.Equal(["sh", "-c", ""], ProcessFiles.ParseArguments("sh\0-c\0\0"u8.ToArray()));
        Assert.Empty(ProcessFiles.ParseArguments([]));
    }

    [Fact]
    public void This_process_can_be_read_and_an_ended_one_cannot()
    {
        var process = ProcessFiles.TryRead(Environment.ProcessId);
        Assert.Equal((uint)Environment.ProcessId, process!.Pid);
        Assert.InRange(process.StartedAt.ToDateTime(), DateTime.UtcNow.AddDays(-1), DateTime.UtcNow.AddMinutes(1));
        Assert.Null(ProcessFiles.TryRead(int.MaxValue));
    }
}
