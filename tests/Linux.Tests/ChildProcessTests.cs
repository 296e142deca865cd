using System.Text;

namespace KataLike.Linux.Tests;

public class ChildProcessTests
{
    private static readonly string[] _path = ["PATH=/usr/bin:/bin"];

    private static ProcessStart Shell(string script, params (FileDescriptor, int)[] descriptors) => new()
    {
        Path = "/bin/sh",
        Arguments = ["sh", "-c", script],
        Environment = _path,
        Descriptors = descriptors,
    };

    private static async Task<(string Output, ExitStatus Status)> Run(Func<FileDescriptor, ProcessStart> start)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            ChildProcess child;
            using (write)
            {
                child = ChildProcess.Start(start(write));
            }
            var output = new StringBuilder();
            var buffer = new byte[4096];
            for (int count; (count = Files.Read(read, buffer)) > 0;)
            {
                output.Append(Encoding.UTF8.GetString(buffer, 0, count));
            }
            using (child)
            {
                return (output.ToString(), await child.Exited);
            }
        }
    }

    [Fact]
    public async Task GivesOutputAndExitCode()
    {
        var (output, status) = await Run(pipe => Shell("echo hello; exit 7", (pipe, 1)));
        Assert.Equal("hello\n", output);
        Assert.Equal(new ExitStatus(false, 7), status);
    }

    [Fact]
    public async Task SignalEndsTheChildAndIsReported()
    {
        var (held, end) = Files.Pipe();
        using (end)
        using (held)
        using (var child = ChildProcess.Start(Shell("read line", (held, 0))))
        {
            Assert.True(child.Signal(15));
            var status = await child.Exited;
            Assert.Equal(new ExitStatus(true, 15), status);
            Assert.Equal(143, status.Code);
            Assert.False(child.Signal(15));
        }
    }

    [Theory]
    [InlineData("/nowhere/program", Errno.ENOENT, "execve /nowhere/program: no such file or directory")]
    [InlineData("/etc/passwd", Errno.EACCES, "execve /etc/passwd: permission denied")]
    public void FailureOfExecveIsThrown(string path, Errno errno, string message)
    {
        var thrown = Assert.Throws<LinuxException>(() => ChildProcess.Start(new ProcessStart { Path = path, Arguments = [path] }));
        Assert.Equal(errno, thrown.Errno);
        Assert.Equal(message, thrown.Message);
    }

    [Fact]
    public void MissingDirectoryIsNamed()
    {
        var thrown = Assert.Throws<LinuxException>(() => ChildProcess.Start(Shell("true") with { WorkingDirectory = "/nowhere" }));
        Assert.Equal("chdir /nowhere: no such file or directory", thrown.Message);
    }

    /// <summary>The child has what it was given and nothing else: numbers swapped, the rest closed or /dev/null.</summary>
    [Fact]
    public async Task DescriptorsArriveUnderTheirNumbersAndNoOthers()
    {
        var (read, other) = Files.Pipe();
        using var end = read;
        using var otherEnd = other;
        // The pipe's own numbers swapped are the hardest case.
        var (output, _) = await Run(pipe => Shell("exec ls -l /proc/self/fd", (pipe, 1), (read, other.Number), (other, read.Number)));
        var lines = output.Split('\n').Select(line => line.Split(' ')).Where(parts => parts.Length > 3 && !parts[^1].StartsWith("/proc"))
            .ToDictionary(parts => int.Parse(parts[^3]), parts => parts[^1]);
        Assert.Equal("/dev/null", lines[0]);
        Assert.Equal("/dev/null", lines[2]);
        Assert.Equal(lines[read.Number], lines[other.Number]);
        Assert.StartsWith("pipe:", lines[read.Number]);
        Assert.Equal(new[] { 0, 1, 2, read.Number, other.Number }.Order(), lines.Keys.Order());
    }

    [Fact]
    public async Task SignalsAreNeitherBlockedNorIgnored()
    {
        var (output, _) = await Run(pipe => new ProcessStart
        {
            Path = "/bin/cat",
            Arguments = ["cat", "/proc/self/status"],
            Descriptors = [(pipe, 1)],
        });
        Assert.Equal(
            ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"],
            output.Split('\n').Where(line => line.StartsWith("Sig") && line[3] is 'B' or 'I' or 'C'));
    }

    [Fact]
    public async Task SessionDirectoryAndUmaskAreSet()
    {
        var (output, _) = await Run(pipe => Shell("pwd; umask; cut -d' ' -f6 /proc/$$/stat; echo $$", (pipe, 1)) with
        {
            WorkingDirectory = "/proc",
            Umask = 0x3f /* 077 */,
            NewSession = true,
        });
        var lines = output.Split('\n');
        Assert.Equal(["/proc", "0077"], lines[..2]);
        Assert.Equal(lines[3], lines[2]);
    }

    [Fact]
    public async Task ChildEndsWithTheThreadThatStartedIt()
    {
        ChildProcess? child = null;
        var (held, end) = Files.Pipe();
        using var keep = held;
        using var keepEnd = end;
        var thread = new Thread(() => child = ChildProcess.Start(Shell("read line", (held, 0)) with { ParentDeathSignal = 9 }));
        thread.Start();
        thread.Join();
        Assert.Equal(new ExitStatus(true, 9), await child!.Exited);
        child.Dispose();
    }

    [Fact]
    public async Task ChildrenStartedAtOnceDoNotHoldEachOthersPipes()
    {
        await Parallel.ForEachAsync(Enumerable.Range(0, 100), async (i, _) =>
        {
            var (output, status) = await Run(pipe => Shell($"echo {i}", (pipe, 1)));
            Assert.Equal($"{i}\n", output);
            Assert.Equal(0, status.Code);
        });
    }
}
