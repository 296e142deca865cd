using System.Text;

namespace KataLike.Linux.Tests;

public sealed class RehearsedProgramTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [SkippableFact]
    public async Task It_comes_to_its_end_and_leaves_nothing()
    {
        Skip.IfNot(RehearsedProgram.WriteBoth(_directory), "x86-64 only");
        var (output, theirs) = Files.Pipe();
        using (output)
        {
            using var nothing = Files.Open("/dev/null", Files.ReadOnly);
            using var program = ChildProcess.Start(new ProcessStart
            {
                Path = "/bin/sh",
                Arguments = ["sh", "-c", $"cd {_directory} && exec ./exit"],
                Descriptors = [(nothing, 0), (theirs, 1), (theirs, 2)],
            });
            theirs.Dispose();
            Assert.Equal(new ExitStatus(Signalled: false, 0), await program.Exited);
            var bytes = new byte[100];
            // The last thing before a child of its own: it got there.
            Assert.Equal("rehearsed\nrehearsed\n", Encoding.UTF8.GetString(bytes.AsSpan(0, Files.Read(output, bytes))));
        }
        Assert.Equal(["exit", "wait"], new DirectoryInfo(_directory).GetFileSystemInfos().Select(entry => entry.Name).Order());
    }
}
