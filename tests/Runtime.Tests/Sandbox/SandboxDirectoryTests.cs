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
    public void WhatWasLeftBehindIsClearedAndTaken()
    {
        Directory.CreateDirectory($"{_root}/sandboxes/s/shared/deep");
        File.WriteAllText($"{_root}/sandboxes/s/task.sock", "");
        using var owner = Root.Sandbox("s");
        owner.Acquire();
        Assert.Equal(["shared"], Directory.EnumerateFileSystemEntries(owner.Path).Select(Path.GetFileName));
        Assert.Empty(Directory.EnumerateFileSystemEntries(owner.Shared));

        owner.Write(new SandboxRecord(12, 34));
        Assert.Equal(new SandboxRecord(12, 34), Root.Sandbox("s").Read());
        owner.Remove();
        Assert.False(Directory.Exists(owner.Path));
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
