using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Tests.Cli;

public sealed class ContainerStateTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("katalike-").FullName;
    private readonly StateRoot root;

    public ContainerStateTests() => root = new StateRoot(directory);

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void An_id_is_taken_once_and_free_again_after_removal()
    {
        var state = Make("a");
        state.Reserve(root).Dispose();
        Assert.Equal("container with given ID already exists", Assert.Throws<RuntimeException>(() => Make("a").Reserve(root)).Message);
        state.Remove(root);
        state.Remove(root);
        Make("a").Reserve(root).Dispose();
    }

    [Fact]
    public void Only_one_of_many_at_once_takes_an_id()
    {
        var taken = 0;
        Parallel.For(0, 16, _ =>
        {
            try
            {
                Make("a").Reserve(root).Dispose();
                Interlocked.Increment(ref taken);
            }
            catch (RuntimeException)
            {
            }
        });
        Assert.Equal(1, taken);
    }

    [Fact]
    public void What_was_saved_is_read_back()
    {
        var state = Make("b") with { Pid = 42, Annotations = new Dictionary<string, string> { ["k"] = "v" } };
        state.Reserve(root).Dispose();
        var read = ContainerState.Load(root, "b");
        Assert.Equal((state.Bundle, state.Created, 42, "v"), (read.Bundle, read.Created, read.Pid, read.Annotations!["k"]));
        Assert.Equal(["b"], ContainerState.All(root).Select(c => c.Id));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(root.ContainerDirectory("b")));
    }

    [Fact]
    public void A_recorded_exit_makes_it_stopped_and_one_for_no_container_leaves_nothing()
    {
        Make("a").Reserve(root).Dispose();
        ContainerState.RecordExit(root, "a", new ContainerExit(7, DateTimeOffset.UnixEpoch));
        ContainerState.RecordExit(root, "gone", new ContainerExit(7, DateTimeOffset.UnixEpoch));
        Assert.Equal(new ContainerExit(7, DateTimeOffset.UnixEpoch), Make("a").Exit(root));
        ContainerState.RecordExit(root, "a", new ContainerExit(137, DateTimeOffset.UnixEpoch, "it hung"));
        Assert.Equal("it hung", Make("a").Exit(root)!.Loss);
        Assert.Equal(["a"], Directory.GetDirectories(root.ContainersDirectory).Select(Path.GetFileName));
    }

    [Fact]
    public async Task A_container_whose_sandbox_is_not_there_has_stopped()
    {
        Make("a").Reserve(root).Dispose();
        Assert.Equal("stopped", await ContainerStatusQuery.StatusAsync(root, ContainerState.Load(root, "a")));
    }

    [Fact]
    public async Task One_that_is_being_made_is_waited_for()
    {
        var state = Make("a");
        var making = state.Reserve(root);
        Assert.Equal("creating", await ContainerStatusQuery.StatusAsync(root, ContainerState.Load(root, "a")));
        var waiting = Task.Factory.StartNew(() => ContainerState.LoadMade(root, "a").Pid, TaskCreationOptions.LongRunning);
        Assert.False(waiting.Wait(100));
        (state with { Pid = 42 }).Save(root);
        making.Dispose();
        Assert.Equal(42, await waiting);
    }

    [Fact]
    public async Task Nobody_waits_for_one_that_could_not_be_made()
    {
        var state = Make("a");
        var making = state.Reserve(root);
        var waiting = Task.Factory.StartNew(() => ContainerState.LoadMade(root, "a"), TaskCreationOptions.LongRunning);
        state.Remove(root);
        making.Dispose();
        Assert.Equal("container does not exist", (await Assert.ThrowsAsync<RuntimeException>(() => waiting)).Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"id\":")]
    public void One_that_was_never_completed_can_be_seen_and_removed(string content)
    {
        Directory.CreateDirectory(root.ContainerDirectory("half"));
        File.WriteAllText($"{root.ContainerDirectory("half")}/state.json", content);
        var state = ContainerState.Load(root, "half");
        state.Remove(root);
        Assert.Empty(ContainerState.All(root));
    }

    [Theory]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("ä")]
    public void Ids_are_checked_before_they_become_paths(string id) =>
        Assert.Contains("invalid container ID format", Assert.Throws<RuntimeException>(() => ContainerState.Load(root, id)).Message, StringComparison.Ordinal);

    private static ContainerState Make(string id) => new()
    {
        Id = id,
        Bundle = "/b",
        Rootfs = "/b/rootfs",
        Sandbox = id,
        Created = DateTimeOffset.UnixEpoch,
    };
}
