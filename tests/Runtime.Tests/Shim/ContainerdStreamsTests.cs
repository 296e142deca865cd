using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Tests.Shim;

public sealed class ContainerdStreamsTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kl-streams-");

    public void Dispose() => _directory.Delete(recursive: true);

    private string Fifo(string name)
    {
        var path = Path.Combine(_directory.FullName, name);
        using var made = System.Diagnostics.Process.Start("mkfifo", path);
        made.WaitForExit();
        return path;
    }

    [Fact]
    public void Fifos_open_without_their_other_side_and_stdin_ends_with_the_last_writer()
    {
        var (stdin, stdout) = (Fifo("in"), Fifo("out"));

        var (streams, hold, _) = new ContainerdStreams(null).Open(new StreamNames(false, stdin, stdout, ""), "box");
        using (streams)
        {
            Assert.Null(streams.Stderr);
            var buffer = new byte[16];
            using (var client = Files.Open(stdin, Files.WriteOnly | Files.NonBlocking))
                Assert.Equal(2, Files.TryWrite(client, "hi"u8));
            // The client has gone, and what it wrote is there; the stream has not ended, for another may come.
            Assert.Equal(2, Files.TryRead(streams.Stdin!, buffer));
            Assert.Equal(-(nint)Errno.EAGAIN, Files.TryRead(streams.Stdin!, buffer));
            hold!.Dispose();
            // At once, but for a child that another test is starting: until its execve it has all descriptors of this process.
            Assert.True(SpinWait.SpinUntil(() => Files.TryRead(streams.Stdin!, buffer) == 0, TimeSpan.FromSeconds(10)));

            Assert.Equal(3, Files.TryWrite(streams.Stdout!, "out"u8));
            using (var reader = Files.Open(stdout, Files.ReadOnly | Files.NonBlocking))
                Assert.Equal(3, Files.TryRead(reader, buffer));
            // The reader has gone: no EPIPE.
            Assert.Equal(1, Files.TryWrite(streams.Stdout!, "x"u8));
        }
    }

    [Fact]
    public void Files_are_appended_to()
    {
        var path = Path.Combine(_directory.FullName, "logs", "my log");
        for (var i = 0; i < 2; i++)
        {
            var (streams, _, _) = new ContainerdStreams(null).Open(new StreamNames(false, "", "file://" + path.Replace(" ", "%20"), "file://" + path), "box");
            using (streams)
            {
                Files.TryWrite(streams.Stdout!, "o"u8);
                Files.TryWrite(streams.Stderr!, "e"u8);
            }
        }

        Assert.Equal("oeoe", File.ReadAllText(path));
    }

    /// <summary>A program that writes what it was given, and its two inputs, to files; it says that it is ready as told.</summary>
    private string Logger(string ready)
    {
        var path = $"{_directory.FullName}/log ger";
        File.WriteAllText(path, $"""
            #!/bin/sh
            echo "$# $* $CONTAINER_ID $CONTAINER_NAMESPACE" > "$(dirname "$0")/start"
            {ready}
            cat <&4 > "$(dirname "$0")/err" 4<&- &
            cat <&3 > "$(dirname "$0")/out" 3<&-
            wait
            """);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return path.Replace(" ", "%20");
    }

    [Theory]
    [InlineData("binary", false, "exec 5>&-")]
    [InlineData("binary-v2", false, "echo >&5")]
    [InlineData("binary", true, "exec 5>&-")]
    public async Task A_logging_binary_gets_the_output(string scheme, bool terminal, string ready)
    {
        var name = $"{scheme}://{Logger(ready)}?--to=a%26b+c&flag&--to=again";
        var (streams, _, logger) = new ContainerdStreams(null, "space").Open(new StreamNames(terminal, "", name, name), "box");
        Files.TryWrite(streams.Stdout!, "out"u8);
        if (!terminal)
            Files.TryWrite(streams.Stderr!, "err"u8);
        streams.Dispose();
        await logger!.EndAsync();
        logger.Dispose();
        string Written(string file) => File.ReadAllText($"{_directory.FullName}/{file}");
        Assert.Equal(("4 --to a&b c flag  box space\n", "out", terminal ? "" : "err"), (Written("start"), Written("out"), Written("err")));
    }

    [Theory]
    [InlineData("binary-v2", "exec 5>&-; exit 0", "failed: it closed descriptor 5 without a byte")]
    [InlineData("binary", "", null)]
    public void A_logging_binary_that_fails_is_named(string scheme, string ready, string? reason)
    {
        var path = reason is null ? "/no/such" : Logger(ready);
        var error = Assert.ThrowsAny<Exception>(() => new ContainerdStreams(null).Open(new StreamNames(false, "", $"{scheme}://{path}", ""), "box"));
        Assert.Contains(reason ?? "/no/such", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stub_hands_over_its_descriptors()
    {
        var handed = new ProcessStreams(true, null, null, null, Columns: 80);
        var streams = new ContainerdStreams(ticket => ticket == "7" ? handed : throw new InvalidOperationException(ticket));

        Assert.Same(handed, streams.Open(new StreamNames(true, "stub://7", "", ""), "box").Streams);
    }

    [Theory]
    [InlineData("binary://no/path")]
    [InlineData("npipe:////./pipe/x")]
    [InlineData("stub://1")]
    public void Other_schemes_are_refused_by_name(string name)
    {
        var refused = Assert.Throws<TtrpcException>(() => new ContainerdStreams(null).Open(
            name.StartsWith("stub", StringComparison.Ordinal) ? new StreamNames(false, name, "", "") : new StreamNames(false, "", name, ""), "box"));

        Assert.Equal((StatusCode.InvalidArgument, true), (refused.Code, refused.Message.Contains(name, StringComparison.Ordinal)));
    }

    [Fact]
    public void A_missing_fifo_is_an_error_and_leaves_nothing_open()
    {
        var stdin = Fifo("in");
        var missing = Path.Combine(_directory.FullName, "missing");

        var error = Assert.Throws<LinuxException>(() => new ContainerdStreams(null).Open(new StreamNames(false, stdin, missing, ""), "box"));

        Assert.Equal((Errno.ENOENT, missing), (error.Errno, error.Operand));
        // Nobody reads the FIFO any more.
        Assert.Equal(Errno.ENXIO, Assert.Throws<LinuxException>(() => Files.Open(stdin, Files.WriteOnly | Files.NonBlocking)).Errno);
    }
}
