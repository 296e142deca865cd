using System.Security.Cryptography;
using System.Text;
using KataLike.Contract.Agent;
using KataLike.Linux;

namespace KataLike.Guest.Tests;

[Collection("machine")]
public sealed class StreamTests(GuestMachine machine)
{
    [SkippableFact]
    public Task Output_error_and_exit_status_arrive() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(
            machine, GuestContainer.Spec("echo out; echo error >&2; exit 7"));
        var end = await container.WaitAsync();
        Assert.Equal((7u, false, false), (end.ExitStatus, end.OomKilled, end.StreamsHeld));
        Assert.Equal("out\n", await container.Streams.Text);
        Assert.Equal("error\n", Encoding.UTF8.GetString(await container.Streams.Error));
    });

    [SkippableFact]
    public Task Cat_copies_64_MiB_unharmed() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        var data = new byte[64 << 20];
        new Random(1).NextBytes(data);
        await Task.Factory.StartNew(() => WriteAll(container.Streams.Input, data), TaskCreationOptions.LongRunning);
        container.Streams.Input.Dispose();
        var output = await container.Streams.Output;
        Assert.Equal(data.Length, output.Length);
        Assert.Equal(SHA256.HashData(data), SHA256.HashData(output));
        Assert.Equal(0u, (await container.WaitAsync()).ExitStatus);
    });

    [SkippableTheory]
    [InlineData(33 * 1024)]
    [InlineData(1 << 20)]
    public Task Large_writes_arrive_whole(int size) => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(
            machine, GuestContainer.Spec($"dd if=/dev/zero bs={size} count=8"));
        Assert.Equal(8 * size, (await container.Streams.Output).Length);
        Assert.Equal(0u, (await container.WaitAsync()).ExitStatus);
    });

    [SkippableFact]
    public Task What_is_written_right_before_the_end_arrives() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        for (var i = 0; i < 10; i++)
        {
            var text = await container.ExecTextAsync($"tail-{i}", "head -c 200000 /dev/zero; echo the tail");
            Assert.Equal(200_000 + "the tail\n".Length, text.Length);
            Assert.EndsWith("the tail\n", text, StringComparison.Ordinal);
        }
    });

    [SkippableFact]
    public Task A_reader_that_stalls_holds_back_its_own_stream_only() => machine.RunAsync(async () =>
    {
        await using var stalled = await GuestContainer.StartAsync(
            machine, GuestContainer.Spec("yes"), streams: HostStreams.Stalled);
        await using var other = await GuestContainer.StartAsync(
            machine, GuestContainer.Spec("dd if=/dev/zero bs=65536 count=64"));
        Assert.Equal(64 * 65536, (await other.Streams.Output).Length);
    });

    [SkippableFact]
    public Task A_stream_that_a_child_still_holds_does_not_delay_the_end() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        using var exec = await container.ExecAsync("parent", GuestContainer.Process("sleep 1000 & echo started"));
        var end = await container.WaitAsync("parent");
        Assert.Equal((0u, true), (end.ExitStatus, end.StreamsHeld));
    });

    [SkippableFact]
    public Task A_terminal_has_a_size_and_changes_it() => machine.RunAsync(async () =>
    {
        await using var container = await GuestContainer.StartAsync(machine, GuestContainer.Spec("cat"));
        var process = GuestContainer.Process("stty -echo; stty size; read line; stty size; tty; exit 3") with { Terminal = true };
        using var streams = await container.ExecAsync("terminal", process, vsock => HostStreams.Terminal(vsock, 100, 40));
        await machine.Agent.ResizeAsync(
            new ResizeRequest { Id = container.Id, ExecId = "terminal", Columns = 120, Rows = 50 });
        streams.Write("go\n");
        Assert.Equal(3u, (await container.WaitAsync("terminal")).ExitStatus);
        var text = await streams.Text;
        Assert.EndsWith("50 120\r\n/dev/pts/0\r\n", text, StringComparison.Ordinal);
    });

    private static void WriteAll(FileDescriptor target, ReadOnlySpan<byte> data)
    {
        while (data.Length > 0)
        {
            data = data[Files.Write(target, data)..];
        }
    }
}
