using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Tests.Cli;

public class StubTests
{
    public static TheoryData<string> Lines =>
    [
        "attach web-1 - pipes 0 0", "attach web-1 exec-0f terminal 80 24", "ticket 00ff", "bind", "bound", "signal 15", "resize 132 50",
        "exit 137", "exit 137 qemu was killed by signal 9", "error what went wrong",
    ];

    [Theory]
    [MemberData(nameof(Lines))]
    public void A_message_is_the_line_that_it_came_from(string line) => Assert.Equal(line, StubMessage.Parse(line)!.Format());

    [Theory]
    [InlineData("")]
    [InlineData("attach a b")]
    [InlineData("attach a - pipes -1 0")]
    [InlineData("attach a - socket 1 1")]
    [InlineData("signal")]
    [InlineData("signal 99999999999")]
    [InlineData("resize 80")]
    [InlineData("exit +1")]
    [InlineData("nonsense")]
    public void Another_line_is_no_message(string line) => Assert.Null(StubMessage.Parse(line));

    [Fact]
    public void Messages_arrive_whole_however_they_are_cut_and_descriptors_with_them()
    {
        var (left, right) = UnixSockets.Pair();
        var (read, write) = Files.Pipe();
        using var sender = new StubChannel(left);
        using var receiver = new StubChannel(right);
        var descriptors = new List<FileDescriptor>();

        Assert.True(sender.Send(new StubMessage.Attach("a", "", false, 0, 0), write));
        Assert.IsType<StubMessage.Attach>(receiver.Receive(descriptors));
        write.Dispose();
        using (var passed = Assert.Single(descriptors))
            Files.Write(passed, "x"u8);
        Assert.Equal(1, Files.Read(read, new byte[2]));

        Files.Write(left, "signal 1\nsig"u8);
        Assert.Equal(new StubMessage.Signal(1), receiver.Receive());
        Assert.False(receiver.HasLine);
        Files.Write(left, "nal 2\nexit 3\n"u8);
        Assert.Equal(new StubMessage.Signal(2), receiver.Receive());
        Assert.True(receiver.HasLine);
        Assert.Equal(new StubMessage.Exit(3), receiver.Receive());

        sender.Dispose();
        Assert.Null(receiver.Receive());
        read.Dispose();
    }

    [Fact]
    public void A_line_without_end_is_cut_off()
    {
        var (left, right) = UnixSockets.Pair();
        using var channel = new StubChannel(right);
        using (left)
        {
            Files.Write(left, Encoding.ASCII.GetBytes(new string('a', StubMessage.MaxLength + 1)));
            Assert.Null(channel.Receive());
        }
    }
}
