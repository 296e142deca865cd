using System.Text;
using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Tests.Hypervisor;

public class QmpTests
{
    // Recorded from QEMU 7.2.
    private const string Recorded =
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7+deb12u18"}, "capabilities": ["oob"]}}""" + "\r\n" +
        """{"return": {}, "id": 1}""" + "\r\n" +
        """{"error": {"class": "CommandNotFound", "desc": "The command nosuch has not been found"}, "id": 2}""" + "\r\n" +
        """{"timestamp": {"seconds": 1763700000, "microseconds": 5}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}""" + "\r\n";

    [Fact]
    public void RecordedLinesAreRead()
    {
        var messages = ReadAll(Encoding.UTF8.GetBytes(Recorded));
        Assert.Equal(4, messages.Count);
        Assert.NotNull(messages[0].Greeting);
        Assert.Equal(1, messages[1].Id);
        Assert.NotNull(messages[1].Return);
        Assert.Equal(new QmpError("CommandNotFound", "The command nosuch has not been found"), messages[2].Error);
        Assert.Equal("SHUTDOWN", messages[3].Event);
    }

    [Fact]
    public void APartOfALineIsKeptForLater()
    {
        ReadOnlySpan<byte> part = Encoding.UTF8.GetBytes("""{"return": {}""");
        var length = part.Length;
        Assert.False(QmpReader.TryRead(ref part, out _));
        Assert.Equal(length, part.Length);
    }

    [Fact]
    public void ALineWithoutEndIsRefused() => Assert.Throws<QmpException>(() =>
    {
        ReadOnlySpan<byte> endless = new byte[QmpReader.MaxLine + 1];
        QmpReader.TryRead(ref endless, out _);
    });

    [Fact]
    public void MutatedLinesGiveMessagesOrTheDeclaredException()
    {
        var random = new Random(1);
        var original = Encoding.UTF8.GetBytes(Recorded);
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = original.ToArray();
            for (var i = random.Next(1, 8); i > 0; i--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            try
            {
                ReadAll(bytes);
            }
            catch (QmpException)
            {
            }
        }
    }

    [Fact]
    public void DeeplyNestedLinesAreRefused() => Assert.Throws<QmpException>(
        () => ReadAll(Encoding.UTF8.GetBytes("{\"return\":" + new string('[', 100_000) + "\n")));

    [Fact]
    public async Task ACommandWaitsForTheGreetingAndGetsItsOwnAnswer()
    {
        var (ours, theirs) = Linux.UnixSockets.Pair();
        await using var qemu = SocketStreams.Take(theirs);
        await using var client = new QmpClient(ours);
        var events = new TaskCompletionSource<string>();
        client.Event += (name, _) => events.TrySetResult(name);

        var answer = client.ExecuteAsync("query-status");
        using var reader = new StreamReader(qemu);
        await qemu.WriteAsync("{\"QMP\": {}}\n"u8.ToArray());
        Assert.Equal("""{"execute":"qmp_capabilities","id":1}""", await reader.ReadLineAsync());
        await qemu.WriteAsync("{\"event\": \"RESUME\"}\n{\"return\": {}, \"id\": 1}\n"u8.ToArray());
        Assert.Equal("""{"execute":"query-status","id":2}""", await reader.ReadLineAsync());
        await qemu.WriteAsync("{\"return\": 0, \"id\": 77}\n{\"return\": {\"status\": \"running\"}, \"id\": 2}\n"u8.ToArray());

        Assert.Equal("running", (await answer).GetProperty("status").GetString());
        Assert.Equal("RESUME", await events.Task);
    }

    [Fact]
    public async Task CommandsFailWhenQemuIsGone()
    {
        var (ours, theirs) = Linux.UnixSockets.Pair();
        await using var client = new QmpClient(ours);
        var answer = client.ExecuteAsync("quit");
        theirs.Dispose();
        await Assert.ThrowsAsync<QmpException>(() => answer);
        await Assert.ThrowsAsync<QmpException>(() => client.ExecuteAsync("quit"));
    }

    [Fact]
    public async Task ADescriptorComesWithItsCommandAndADeviceIsGoneWhenTheGuestHasLetGo()
    {
        var (ours, qemu) = Linux.UnixSockets.Pair();
        await using var client = new QmpClient(ours);
        var devices = new HotPlug(client);
        using var passed = Linux.Memory.CreateFile("passed", 0);
        var passing = devices.PassAsync("tap0", passed);
        Say(qemu, """{"QMP": {}}""");
        Assert.Contains("qmp_capabilities", Hear(qemu).Line, StringComparison.Ordinal);
        Say(qemu, """{"return": {}, "id": 1}""");
        var heard = Hear(qemu);
        Assert.Equal("""{"execute":"getfd","arguments":{"fdname":"tap0"},"id":2}""", heard.Line);
        Assert.Single(heard.Descriptors).Dispose();
        Say(qemu, """{"return": {}, "id": 2}""");
        await passing;

        var removing = devices.RemoveAsync("net0");
        Assert.Equal("""{"execute":"device_del","arguments":{"id":"net0"},"id":3}""", Hear(qemu).Line);
        Say(qemu, """{"return": {}, "id": 3}""");
        Say(qemu, """{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/other"}}""");
        Say(qemu, """{"event": "DEVICE_DELETED", "data": {"device": 5}}""");
        Assert.False(removing.IsCompleted);
        Say(qemu, """{"event": "DEVICE_DELETED", "data": {"device": "net0", "path": "/machine/peripheral/net0"}}""");
        await removing;

        var absent = devices.RemoveAsync("net1");
        Hear(qemu);
        Say(qemu, """{"error": {"class": "DeviceNotFound", "desc": "Device 'net1' not found"}, "id": 4}""");
        await absent;
        qemu.Dispose();
    }

    private static void Say(Linux.FileDescriptor socket, string line) =>
        Assert.True(Linux.UnixSockets.TrySend(socket, Encoding.UTF8.GetBytes(line + "\n"), wait: true) > 0);

    private static (string Line, List<Linux.FileDescriptor> Descriptors) Hear(Linux.FileDescriptor socket)
    {
        var descriptors = new List<Linux.FileDescriptor>();
        var buffer = new byte[4096];
        var length = Linux.UnixSockets.TryReceive(socket, buffer, descriptors, wait: true);
        return (Encoding.UTF8.GetString(buffer, 0, (int)length).TrimEnd('\n'), descriptors);
    }

    private static List<QmpMessage> ReadAll(ReadOnlySpan<byte> bytes)
    {
        var messages = new List<QmpMessage>();
        while (QmpReader.TryRead(ref bytes, out var message))
            messages.Add(message!);
        return messages;
    }
}
