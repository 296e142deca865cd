using System.Collections.Concurrent;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Tests.Shim;

public class EventPublisherTests
{
    private readonly ConcurrentQueue<string> _warnings = [];
    private readonly ConcurrentQueue<double> _pauses = [];

    private EventPublisher Publisher(Func<Envelope, CancellationToken, Task> forward) =>
        new("default", forward, (time, _) => { _pauses.Enqueue(time.TotalSeconds); return Task.CompletedTask; }, _warnings.Enqueue);

    [Fact]
    public async Task A_failing_event_is_tried_again_before_the_next_one_goes()
    {
        var sent = new ConcurrentQueue<string>();
        var failures = 2;
        await using (var publisher = Publisher((envelope, _) =>
        {
            sent.Enqueue(envelope.Topic);
            return envelope.Topic == "/tasks/start" && failures-- > 0 ? throw new IOException("away") : Task.CompletedTask;
        }))
        {
            foreach (var topic in (string[])["/tasks/create", "/tasks/start", "/tasks/exit"])
                publisher.Publish(topic, "type", new Empty());
        }

        Assert.Equal(["/tasks/create", "/tasks/start", "/tasks/start", "/tasks/start", "/tasks/exit"], sent);
        Assert.Equal([1, 2], _pauses);
        Assert.Empty(_warnings);
    }

    [Fact]
    public async Task An_event_is_given_up_after_five_retries_and_the_next_one_still_goes()
    {
        var sent = new ConcurrentQueue<string>();
        await using (var publisher = Publisher((envelope, _) =>
        {
            sent.Enqueue(envelope.Topic);
            return envelope.Topic == "bad" ? throw new IOException("away") : Task.CompletedTask;
        }))
        {
            publisher.Publish("bad", "type", new Empty());
            publisher.Publish("good", "type", new Empty());
        }

        Assert.Equal(["bad", "bad", "bad", "bad", "bad", "bad", "good"], sent);
        Assert.Equal([1, 2, 3, 4, 5], _pauses);
        Assert.Equal("gave up event bad: away", Assert.Single(_warnings));
    }

    [Fact]
    public async Task A_full_queue_never_makes_the_publisher_wait()
    {
        var arrived = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        var sent = 0;
        await using (var publisher = Publisher(async (_, _) =>
        {
            arrived.TrySetResult();
            await gate.Task;
            sent++;
        }))
        {
            publisher.Publish("first", "type", new Empty());
            await arrived.Task;
            for (var i = 0; i < 2050; i++)
                publisher.Publish("more", "type", new Empty());
            gate.SetResult();
        }

        Assert.Equal(2049, sent);
        Assert.Equal(2, _warnings.Count);
    }

    [Fact]
    public async Task The_envelope_is_what_containerd_reads()
    {
        var sent = new ConcurrentQueue<Envelope>();
        await using (var publisher = Publisher((envelope, _) => { sent.Enqueue(envelope); return Task.CompletedTask; }))
            new TaskEvents(publisher).Started("one", "", 42);

        var only = Assert.Single(sent);
        Assert.Equal(("default", "/tasks/start", "containerd.events.TaskStart"), (only.Namespace, only.Topic, only.Event.TypeUrl));
        Assert.Equal([0x0a, 3, (byte)'o', (byte)'n', (byte)'e', 0x10, 42], only.Event.Value.ToByteArray());
    }
}
