using KataLike.Linux;
using KataLike.Runtime.Templates;

namespace KataLike.Runtime.Tests.Templates;

public sealed class TemplateTests : IDisposable
{
    private const int Page = 4096, MemoryMib = 2;

    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-templates-").FullName;
    private readonly byte[] _memory = new byte[MemoryMib << 20];

    public TemplateTests()
    {
        // The first page, two neighbours across nothing, and the last.
        _memory[0] = 1;
        _memory.AsSpan(7 * Page, 2 * Page).Fill(7);
        _memory[^1] = 9;
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void WhatWasSavedComesBack()
    {
        using var template = Template.Open(Files.Open(Save(), Files.ReadOnly));
        Assert.Equal("the key\n", template.Key);
        Assert.Equal(MemoryMib, template.MemoryMib);
        Assert.False(template.FitsHost);
        using var copy = Memory.CreateFile("copy", MemoryMib << 20);
        template.CopyMemory(copy);
        Assert.Equal(_memory, File.ReadAllBytes(copy.ProcPath));
        using var state = template.OpenState();
        var bytes = new byte[5];
        Assert.Equal(5, Files.Read(state, bytes));
        Assert.Equal("state"u8.ToArray(), bytes);
    }

    [Fact]
    public void PagesOfZeroesAreNotKept() => Assert.InRange(new FileInfo(Save()).Length, 4 * Page, 7 * Page);

    [Fact]
    public void AByteThatHasChangedAnywhereIsNoticed()
    {
        var path = Save();
        var bytes = File.ReadAllBytes(path);
        for (var place = 0; place < bytes.Length; place += place < 100 ? 1 : 97)
        {
            bytes[place] ^= 0x10;
            File.WriteAllBytes(path, bytes);
            Assert.Throws<InvalidDataException>(() => Copy(path));
            bytes[place] ^= 0x10;
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    [InlineData(48)]
    [InlineData(3 * Page)]
    public void AFileThatWasCutOffIsNone(int length)
    {
        var path = Save();
        using (var file = File.OpenWrite(path))
            file.SetLength(length);
        Assert.Throws<InvalidDataException>(() => Copy(path));
    }

    [SkippableFact]
    public void TheStoreKnowsTemplatesByTheirWholeKeyAndKeepsSix()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "a template that root does not own is none");
        var store = new TemplateStore($"{_directory}/store");
        Assert.Null(store.Find("0"));
        using (store.TryLock())
        {
            Directory.CreateDirectory(store.Workshop);
            for (var i = 0; i < 8; i++)
            {
                store.Add($"{i}", file => file.Write(File.ReadAllBytes(Save($"{i}"))));
                File.SetLastWriteTimeUtc(store.PathOf($"{i}"), DateTime.UnixEpoch.AddDays(i));
            }
            Assert.Null(new TemplateStore($"{_directory}/store").TryLock());
        }
        Assert.Null(store.Find("1"));
        foreach (var kept in (string[])["2", "7"])
        {
            using var found = store.Find(kept);
            Assert.Equal(kept, found!.Key);
        }

        File.Copy(store.PathOf("7"), store.PathOf("6"), overwrite: true);
        Assert.Null(store.Find("6"));
        File.SetUnixFileMode(store.PathOf("7"), UnixFileMode.UserRead | UnixFileMode.GroupWrite);
        Assert.Null(store.Find("7"));
    }

    [Fact]
    public void WhatTheStateHasOfTheMemoryIsNotCopied()
    {
        _memory.AsSpan(0, 4 * Page).Fill(1);
        using var template = Template.Open(Files.Open(Save(elsewhere: (Page, 2 * Page)), Files.ReadOnly));
        using var copy = Memory.CreateFile("copy", MemoryMib << 20);
        template.CopyMemory(copy);
        var pages = new byte[4 * Page];
        Files.ReadAt(copy, 0, pages);
        foreach (var (page, expected) in new byte[] { 1, 0, 0, 1 }.Index())
            Assert.Equal(-1, pages.AsSpan(page * Page, Page).IndexOfAnyExcept(expected));
    }

    private static void Copy(string path)
    {
        using var template = Template.Open(Files.Open(path, Files.ReadOnly));
        using var copy = Memory.CreateFile("copy", MemoryMib << 20);
        template.CopyMemory(copy);
    }

    private string Save(string key = "the key\n", params (ulong Start, ulong Length)[] elsewhere)
    {
        using var memory = Memory.CreateFile("memory", MemoryMib << 20);
        Files.WriteAt(memory, 0, _memory);
        using var mapped = MappedMemory.Share(memory, MemoryMib << 20);
        var path = $"{_directory}/{Guid.NewGuid()}";
        using var file = File.Create(path);
        Template.Write(file, key, "state"u8, mapped, elsewhere);
        return path;
    }
}
