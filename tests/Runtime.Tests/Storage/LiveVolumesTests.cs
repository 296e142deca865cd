using System.Threading.Channels;
using KataLike.Contract.Agent;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Tests.Storage;

public sealed class LiveVolumesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-live-").FullName;
    private readonly Channel<UpdateVolumeRequest> _requests = Channel.CreateUnbounded<UpdateVolumeRequest>();
    private readonly List<string> _log = [];
    private Func<UpdateVolumeRequest, StatusCode> _answer = _ => StatusCode.OK;

    public LiveVolumesTests()
    {
        Directory.CreateDirectory($"{_directory}/..1");
        File.CreateSymbolicLink($"{_directory}/..data", "..1");
        File.CreateSymbolicLink($"{_directory}/key", "..data/key");
    }

    private LiveVolumes Volumes() => new((request, _) =>
    {
        _requests.Writer.TryWrite(request);
        return _answer(request) is var code and not StatusCode.OK ? throw new TtrpcException(code, "no") : Task.CompletedTask;
    }, _log.Add);

    private SharePlan Plan(bool readOnly = true) => new(
        [new HostShare("/bundle/rootfs", "rootfs"), new HostShare(_directory, "0") { ReadOnly = readOnly }], [],
        new Overlay { Mounts = { new MountSource { Index = 0, Shared = "katalike/c1/0" } } });

    private static MountSource.SourceOneofCase Told(SharePlan plan) => plan.Overlay.Mounts[0].SourceCase;

    private void Swap(string data)
    {
        File.CreateSymbolicLink($"{_directory}/..data_tmp", data);
        using var directory = Files.Open(_directory, Files.ReadOnly | Files.Directory);
        DirectoryTrees.Rename(directory, "..data_tmp", "..data");
    }

    [SkippableFact]
    public async Task TheAgentIsToldAtFirstAndOfEachSwap()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: clones a mount");
        using var volumes = Volumes();
        var plan = Plan();
        await volumes.AddAsync("c1", plan, CancellationToken.None);
        Assert.Equal("katalike/c1/0", plan.Overlay.Mounts[0].Volume);
        Assert.Equal(new UpdateVolumeRequest { Shared = "katalike/c1/0", Data = "..1" }, await _requests.Reader.ReadAsync());
        Swap("..2");
        while ((await _requests.Reader.ReadAsync()).Data != "..2")
        {
            // Told of "..data_tmp", too.
        }
        volumes.Remove("c1");
    }

    [SkippableFact]
    public async Task AWriterThatIsFasterIsReadAgain()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: clones a mount");
        _answer = request =>
        {
            if (request.Data != "..1")
                return StatusCode.OK;
            Swap("..2");
            return StatusCode.NotFound;
        };
        using var volumes = Volumes();
        var plan = Plan();
        await volumes.AddAsync("c1", plan, CancellationToken.None);
        Assert.Equal(MountSource.SourceOneofCase.Volume, Told(plan));
    }

    [SkippableTheory]
    [InlineData(StatusCode.ResourceExhausted)]
    [InlineData(StatusCode.NotFound)]
    public async Task WhatCannotBeCopiedStaysShared(StatusCode code)
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: clones a mount");
        _answer = _ => code;
        using var volumes = Volumes();
        var plan = Plan();
        await volumes.AddAsync("c1", plan, CancellationToken.None);
        Assert.Equal(MountSource.SourceOneofCase.Shared, Told(plan));
        Assert.Contains("will not be told of changes", Assert.Single(_log), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("writable")]
    [InlineData("file beside the links")]
    [InlineData("directory beside the links")]
    [InlineData("data elsewhere")]
    [InlineData("no data")]
    public async Task OtherDirectoriesStayShared(string which)
    {
        switch (which)
        {
            case "file beside the links": File.WriteAllText($"{_directory}/file", ""); break;
            case "directory beside the links": Directory.CreateDirectory($"{_directory}/directory"); break;
            case "data elsewhere": Swap("../../etc"); break;
            case "no data": File.Delete($"{_directory}/..data"); break;
        }
        using var volumes = Volumes();
        var plan = Plan(readOnly: which != "writable");
        await volumes.AddAsync("c1", plan, CancellationToken.None);
        Assert.Equal(MountSource.SourceOneofCase.Shared, Told(plan));
        Assert.False(_requests.Reader.TryRead(out _));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
