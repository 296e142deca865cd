using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Tests.Storage;

public sealed class ShareNamespaceTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-shares-").FullName;

    private string Shared => $"{_directory}/shared";

    public ShareNamespaceTests()
    {
        Directory.CreateDirectory(Shared);
        Directory.CreateDirectory($"{_directory}/rootfs");
        File.WriteAllText($"{_directory}/rootfs/hello", "from the root\n");
        File.WriteAllText($"{_directory}/file", "from a file\n");
    }

    [SkippableFact]
    public void ChildrenSeeTheSharesAndTheHostSeesNothing()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        var before = File.ReadAllText("/proc/self/mountinfo");
        using (var space = ShareNamespace.Enter(Shared))
        {
            space.Attach("c1", new SharePlan(
                [
                    new HostShare($"{_directory}/rootfs", "rootfs"),
                    new HostShare($"{_directory}/file", "0") { Recursive = false, ReadOnly = true },
                ], [], new()));

            Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/c1/rootfs/hello"));
            Assert.Equal("from a file\n", Shell(space, $"cat {Shared}/c1/0"));
            Assert.Equal("refused\n", Shell(space, $"(echo x > {Shared}/c1/0) 2>/dev/null || echo refused"));
            Assert.Equal("refused\n", Shell(space, $"mkdir {Shared}/evil 2>/dev/null || echo refused"));
            Assert.Equal("", Shell(space, $"echo written > {Shared}/c1/rootfs/new"));
            Assert.Equal("written\n", File.ReadAllText($"{_directory}/rootfs/new"));

            Assert.Equal(before, File.ReadAllText("/proc/self/mountinfo"));
            Assert.Empty(Directory.EnumerateFileSystemEntries(Shared));

            space.Detach("c1");
            Assert.Equal("", Shell(space, $"ls {Shared}"));
        }
        Assert.Equal(before, File.ReadAllText("/proc/self/mountinfo"));
    }

    [SkippableFact]
    public void AnOverlayIsMountedInsideOnly()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        foreach (var name in (string[])["upper", "work"])
            Directory.CreateDirectory($"{_directory}/{name}");
        var overlay = new RootfsMount(
            "overlay", "overlay", [$"lowerdir={_directory}/rootfs", $"upperdir={_directory}/upper", $"workdir={_directory}/work", "noatime"]);
        using var space = ShareNamespace.Enter(Shared);
        space.Attach("c1", new SharePlan([], [new HostFileSystem("rootfs", overlay)], new()));
        Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/c1/rootfs/hello && touch {Shared}/c1/rootfs/up"));
        Assert.True(File.Exists($"{_directory}/upper/up"));
        Assert.False(File.Exists($"{_directory}/rootfs/up"));
        space.Detach("c1");
    }

    [SkippableFact]
    public void AMissingSourceIsNamedAndNothingStaysAttached()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        var plan = new SharePlan(
            [
                new HostShare($"{_directory}/rootfs", "rootfs"),
                new HostShare("/nonexistent/source", "0") { Destination = "/data" },
            ], [], new());
        var error = Assert.Throws<RuntimeException>(() => space.Attach("c1", plan));
        Assert.Equal("error mounting \"/nonexistent/source\" to rootfs at \"/data\": stat /nonexistent/source: no such file or directory", error.Message);
        Assert.Equal("", Shell(space, $"ls {Shared}"));
    }

    [SkippableFact]
    public async Task ChildrenDieWithTheNamespace()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        ChildProcess child;
        using (var space = ShareNamespace.Enter(Shared))
            child = space.Start(new ProcessStart { Path = "/bin/sleep", Arguments = ["sleep", "1000"] });
        using (child)
            Assert.Equal(new ExitStatus(true, 9), await child.Exited);
    }

    private static string Shell(ShareNamespace space, string command)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            ChildProcess child;
            using (write)
                child = space.Start(new ProcessStart
                {
                    Path = "/bin/sh",
                    Arguments = ["sh", "-c", command],
                    Environment = ["PATH=/usr/bin:/bin"],
                    Descriptors = [(write, 1)],
                });
            using var output = new MemoryStream();
            Span<byte> buffer = stackalloc byte[1024];
            while (Files.Read(read, buffer) is > 0 and var count)
                output.Write(buffer[..count]);
            using (child)
                child.Exited.Wait();
            return System.Text.Encoding.UTF8.GetString(output.ToArray());
        }
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
