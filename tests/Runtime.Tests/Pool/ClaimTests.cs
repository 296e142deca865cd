using KataLike.Linux;
using KataLike.Runtime.Pools;

namespace KataLike.Runtime.Tests.Pools;

public sealed class ClaimTests : IDisposable
{
    private readonly FileDescriptor _caller, _member;

    public ClaimTests() => (_caller, _member) = UnixSockets.Pair();

    [Fact]
    public void It_arrives_as_it_was_sent_with_its_open_files()
    {
        var (read, write) = Files.Pipe();
        var claim = new Claim(["katalike", "sandbox", "--id", "a\nb"], ["PATH=/bin"], [4], ["0::/user.slice"]);
        using (write)
            Assert.True(claim.Send(_caller, [write]));
        var files = new List<FileDescriptor>();
        var received = Claim.Receive(_member, files)!;
        Assert.Equal(claim.Arguments, received.Arguments);
        Assert.Equal((claim.Environment, claim.Numbers, claim.Cgroups), (received.Environment, received.Numbers, received.Cgroups), Same);
        using (var file = Assert.Single(files))
            Files.Write(file, "through"u8);
        using (read)
        {
            var text = new byte[10];
            Assert.Equal("through", System.Text.Encoding.UTF8.GetString(text, 0, Files.Read(read, text)));
        }
    }

    [Fact]
    public void A_caller_that_goes_away_claims_nothing()
    {
        _caller.Dispose();
        Assert.Null(Claim.Receive(_member, []));
    }

    [Theory]
    [InlineData("{}\n")]
    [InlineData("null\n")]
    [InlineData("\n")]
    [InlineData("""{"Arguments": [], "Environment": [], "Numbers": [4], "Cgroups": []}""" + "\n")]
    public void What_is_no_claim_is_refused(string line)
    {
        Files.Write(_caller, System.Text.Encoding.UTF8.GetBytes(line));
        Assert.Throws<RuntimeException>(() => Claim.Receive(_member, []));
    }

    [Fact]
    public void One_that_is_too_long_is_not_sent()
    {
        Assert.False(new Claim([new string('a', 1 << 16)], [], [], []).Send(_caller, []));
        _caller.Dispose();
        Assert.Null(Claim.Receive(_member, []));
    }

    private static bool Same(
        (IReadOnlyList<string>, IReadOnlyList<int>, IReadOnlyList<string>) left, (IReadOnlyList<string>, IReadOnlyList<int>, IReadOnlyList<string>) right) =>
        left.Item1.SequenceEqual(right.Item1) && left.Item2.SequenceEqual(right.Item2) && left.Item3.SequenceEqual(right.Item3);

    public void Dispose()
    {
        _caller.Dispose();
        _member.Dispose();
    }
}
