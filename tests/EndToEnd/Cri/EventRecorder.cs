using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json.Nodes;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>The events of tasks that containerd passes on, as `ctr events` prints them.</summary>
internal sealed class EventRecorder : IAsyncDisposable
{
    private const string Topic = " /tasks/";

    private readonly ConcurrentQueue<(string Topic, string Container)> _events = new();
    private readonly Process _process;
    private readonly Task _reading;

    private EventRecorder(Process process) => (_process, _reading) = (process, ReadAsync(process));

    public static async Task<EventRecorder> StartAsync(CriNode node)
    {
        var process = Process.Start(new ProcessStartInfo("nsenter", [.. node.Namespaces.Enter[1..], .. node.Ctr, "events"]) { RedirectStandardOutput = true })!;
        var recorder = new EventRecorder(process);
        // ctr does not say when it listens: an event that is ours alone does.
        var name = $"listening-{Guid.NewGuid():N}";
        await CriNode.Eventually("events are passed on", async () =>
        {
            await node.CtrAsync("image", "tag", "--force", CriNode.Image, $"localhost/{name}:latest");
            return recorder._events.Any(e => e.Topic == "/images/");
        });
        await node.CtrAsync("image", "rm", $"localhost/{name}:latest");
        return recorder;
    }

    /// <summary>What has happened to a container, in order: "create", "start", "exit", …; nothing of its execs.</summary>
    public IReadOnlyList<string> Of(string container) => [.. _events.Where(e => e.Container == container).Select(e => e.Topic)];

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        await _reading;
        _process.Dispose();
    }

    /// <summary>A line: time, namespace, topic, the event as JSON.</summary>
    private async Task ReadAsync(Process process)
    {
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.Contains(" /images/", StringComparison.Ordinal))
                _events.Enqueue(("/images/", ""));
            if (line.IndexOf(Topic, StringComparison.Ordinal) is var at && at < 0)
                continue;
            var (topic, json) = line[(at + Topic.Length)..].Split(' ', 2) is [var first, var second] ? (first, second) : ("", "{}");
            var id = (string?)JsonNode.Parse(json)!["container_id"] ?? "";
            var ended = (string?)JsonNode.Parse(json)!["id"];
            if (!topic.StartsWith("exec", StringComparison.Ordinal) && (ended is null || ended == id))
                _events.Enqueue((topic, id));
        }
    }
}
