using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public sealed class SandboxDirectoryTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("katalike-state-").FullName;

    private StateRoot Root => new(_root);

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("a b")]
    [InlineData("ä")]
    [InlineData("a\n")]
    public void AnIdThatIsNoNameNeverBecomesAPath(string id) =>
        Assert.StartsWith("invalid container ID format: ", Assert.Throws<RuntimeException>(() => Root.Sandbox(id)).Message, StringComparison.Ordinal);

    [Fact]
    public void NobodyElseMayLookIntoWhatIsMade()
    {
        StateRoot.Make($"{_root}/shim/ns/sandboxes/x");
        Assert.All(["shim", "shim/ns", "shim/ns/sandboxes", "shim/ns/sandboxes/x"], made => Assert.Equal("drwx------", Mode($"{_root}/{made}")));
    }

    [Fact]
    public void OneProcessOwnsItAndItsEndFreesIt()
    {
        using (var owner = Root.Sandbox("a_B-1.+"))
        {
            owner.Acquire();
            Assert.True(Root.Sandbox("a_B-1.+").IsOwned());
            Assert.False(Root.Sandbox("a_B-1.+").RemoveStale());
            Assert.Throws<RuntimeException>(() => Root.Sandbox("a_B-1.+").Acquire());
            Assert.Equal("drwx------", Mode(owner.Path));
        }
        Assert.False(Root.Sandbox("a_B-1.+").IsOwned());
        Assert.True(Root.Sandbox("a_B-1.+").RemoveStale());
        Assert.Empty(Directory.EnumerateFileSystemEntries(Root.SandboxesDirectory));
    }

    [Fact]
    public void WhatAnotherDirectoryHoldsCanBecomeItsOwn()
    {
        var other = new SandboxDirectory($"{_root}/members/1");
        other.Acquire();
        File.WriteAllText($"{other.Path}/console.log", "said");
        using var sandbox = Root.Sandbox("s");
        sandbox.Acquire();
        Assert.True(sandbox.TryTakeOver(other));
        Assert.Equal("said", File.ReadAllText($"{sandbox.Path}/console.log"));
        Assert.False(Directory.Exists(other.Path));
        Assert.True(Root.Sandbox("s").IsOwned());
        Assert.Equal(Environment.ProcessId, sandbox.Read()!.Pid);
        other.Remove();
        Assert.True(Directory.Exists(sandbox.Path));
        sandbox.Remove();
        Assert.False(Directory.Exists(sandbox.Path));
    }

    [Fact]
    public void WhatIsOnAnotherFileSystemStaysThere()
    {
        var other = new SandboxDirectory($"/dev/shm/katalike-{Guid.NewGuid():n}/1");
        other.Acquire();
        using var sandbox = Root.Sandbox("s");
        sandbox.Acquire();
        Assert.False(sandbox.TryTakeOver(other));
        Assert.True(Root.Sandbox("s").IsOwned() && Directory.Exists(sandbox.Shared) && other.IsOwned());
        sandbox.Remove();
        other.Remove();
        Directory.Delete(Path.GetDirectoryName(other.Path)!);
    }

    [Fact]
    public void WhatWasLeftBehindIsClearedAndTaken()
    {
        Directory.CreateDirectory($"{_root}/sandboxes/s/shared/deep");
        File.WriteAllText($"{_root}/sandboxes/s/task.sock", "");
        using var owner = Root.Sandbox("s");
        owner.Acquire();
        Assert.Equal(["sandbox.json", "shared"], Directory.EnumerateFileSystemEntries(owner.Path).Select(Path.GetFileName).Order());
        Assert.Equal(new SandboxRecord(Environment.ProcessId, 0), owner.Read());
        Assert.Empty(Directory.EnumerateFileSystemEntries(owner.Shared));

        owner.Write(new SandboxRecord(12, 34));
        Assert.Equal(new SandboxRecord(12, 34), Root.Sandbox("s").Read());
        owner.Remove();
        Assert.False(Directory.Exists(owner.Path));
    }

    [Fact]
    public void WhoOnlyLooksKeepsNobodyFromStarting()
    {
        using var stop = new CancellationTokenSource();
        var looking = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                _ = Root.Sandbox("s").IsOwned();
                Root.Sandbox("s").RemoveStale();
            }
        });
        for (var i = 0; i < 500; i++)
        {
            using var owner = Root.Sandbox("s");
            owner.Acquire();
            owner.Remove();
        }
        stop.Cancel();
        Assert.True(looking.Wait(TimeSpan.FromMinutes(1)));
    }

    [SkippableFact]
    public void AnOwnerThatDoesNotEndIsKilledAndItsDirectoryRemoved()
    {
        Skip.IfNot(File.Exists("/usr/bin/flock"), "needs flock of util-linux");
        var directory = Root.Sandbox("s");
        Directory.CreateDirectory(directory.Path);
        using var owner = System.Diagnostics.Process.Start("/usr/bin/flock", ["--no-fork", directory.Path, "sleep", "1000"])!;
        Assert.True(SpinWait.SpinUntil(directory.IsOwned, TimeSpan.FromMinutes(1)));
        directory.Write(new SandboxRecord(owner.Id, 0));
        Assert.False(directory.RemoveStale());
        directory.Destroy(60_000);
        Assert.False(Directory.Exists(directory.Path));
        owner.WaitForExit();
        Assert.Equal(137, owner.ExitCode);
        directory.Destroy(0);
    }

    [Fact]
    public void ALinkInTheRootsPathIsNoHindrance()
    {
        Directory.CreateDirectory($"{_root}/real");
        File.CreateSymbolicLink($"{_root}/link", $"{_root}/real");
        using var owner = new StateRoot($"{_root}/link").Sandbox("s");
        owner.Acquire();
        owner.Remove();
        Assert.False(Directory.Exists($"{_root}/real/sandboxes/s"));
    }

    [Fact]
    public void ASocketFitsHoweverLongTheRoot()
    {
        var root = new StateRoot($"{_root}/{new string('x', 200)}");
        using var owner = root.Sandbox("s");
        owner.Acquire();
        using var listener = owner.Listen(SandboxDirectory.TaskSocket);
        Assert.Equal("srw-------", Mode($"{owner.Path}/task.sock"));
        using var handle = Files.Open(owner.Path, Files.PathOnly);
        using var client = UnixSockets.Connect(handle, "task.sock");
        Assert.False(client.IsInvalid);
    }

    private static string Mode(string path)
    {
        var kind = Directory.Exists(path) ? 'd' : 's';
        var mode = File.GetUnixFileMode(path);
        return kind + string.Concat("rwxrwxrwx".Select((letter, i) => ((int)mode & (0x100 >> i)) != 0 ? letter : '-'));
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
