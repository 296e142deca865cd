using KataLike.Agent.Rootfs;
using KataLike.Linux;

namespace KataLike.Agent.Tests.Rootfs;

public sealed class VolumeCopyTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-volume-").FullName;

    private string Source => $"{_directory}/source";

    private string Copy => $"{_directory}/copy";

    public VolumeCopyTests()
    {
        foreach (var directory in (string[])[Copy, $"{Source}/..1/sub"])
            Directory.CreateDirectory(directory);
        File.WriteAllText($"{Source}/..1/key", "one");
        File.WriteAllText($"{Source}/..1/sub/deep", "deep");
        File.SetUnixFileMode($"{Source}/..1/key", UnixFileMode.UserRead | UnixFileMode.OtherExecute);
        File.SetUnixFileMode(Source, UnixFileMode.SetGroup | UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead);
        File.CreateSymbolicLink($"{Source}/key", "..data/key");
        File.CreateSymbolicLink($"{Source}/sub", "..data/sub");
    }

    private void Update(string data)
    {
        using var source = Files.Open(Source, Files.ReadOnly | Files.Directory);
        using var copy = Files.Open(Copy, Files.ReadOnly | Files.Directory);
        VolumeCopy.Update(source, copy, data);
    }

    private string[] Entries() => [.. Directory.EnumerateFileSystemEntries(Copy).Select(entry => Path.GetFileName(entry)!).Order(StringComparer.Ordinal)];

    [Fact]
    public void ACopyHasContentModesAndLinks()
    {
        Update("..1");
        Assert.Equal(["..1", "..data", "key", "sub"], Entries());
        Assert.Equal(("one", "deep"), (File.ReadAllText($"{Copy}/key"), File.ReadAllText($"{Copy}/sub/deep")));
        Assert.Equal(File.GetUnixFileMode(Source), File.GetUnixFileMode(Copy));
        Assert.Equal(File.GetUnixFileMode($"{Source}/..1/key"), File.GetUnixFileMode($"{Copy}/..1/key"));
        Assert.Equal("..data/key", new FileInfo($"{Copy}/key").LinkTarget);
    }

    [Fact]
    public void AnUpdateReplacesAllAtOnceAndDropsWhatIsOld()
    {
        Update("..1");
        using var held = File.OpenRead($"{Copy}/key");
        Directory.CreateDirectory($"{Source}/..2");
        File.WriteAllText($"{Source}/..2/new", "two");
        File.CreateSymbolicLink($"{Source}/new", "..data/new");
        File.Delete($"{Source}/key");
        File.Delete($"{Source}/sub");
        Update("..2");
        Assert.Equal(["..2", "..data", "new"], Entries());
        Assert.Equal("two", File.ReadAllText($"{Copy}/new"));
        using var reader = new StreamReader(held);
        Assert.Equal("one", reader.ReadToEnd());
    }

    [Fact]
    public void AWriterThatWasFasterLeavesTheCopyAsItWas()
    {
        Update("..1");
        Assert.Equal(Errno.ENOENT, Assert.Throws<LinuxException>(() => Update("..2")).Errno);
        Assert.Equal(["..1", "..data", "key", "sub"], Entries());
        Assert.Equal("one", File.ReadAllText($"{Copy}/key"));
    }

    [Fact]
    public void LinksAreCopiedAndNeverFollowed()
    {
        File.WriteAllText($"{_directory}/secret", "secret");
        File.CreateSymbolicLink($"{Source}/..1/out", $"{_directory}/secret");
        File.CreateSymbolicLink($"{Source}/..3", "..1");
        File.WriteAllText($"{Source}/file", "no link");
        Update("..1");
        Assert.Equal($"{_directory}/secret", new FileInfo($"{Copy}/..1/out").LinkTarget);
        Assert.False(File.Exists($"{Copy}/file"));
        Assert.Equal(Errno.ENOTDIR, Assert.Throws<LinuxException>(() => Update("..3")).Errno);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
