using System.Threading.Channels;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd;

namespace KataLike.Runtime.Shim;

/// <summary>Sends a sandbox's events to containerd, in the order in which they were published, and without ever making the publisher wait.</summary>
/// <remarks>An event that fails is tried again before the next one is sent, after 1 to 5 seconds, and given up after that.</remarks>
internal sealed class EventPublisher : IAsyncDisposable
{
    private const int QueueSize = 2048;
    private const int MaxRetries = 5;
    private static readonly TimeSpan FlushTime = TimeSpan.FromSeconds(2);

    private readonly Channel<Envelope> _queue = Channel.CreateBounded<Envelope>(
        new BoundedChannelOptions(QueueSize) { SingleReader = true });

    private readonly CancellationTokenSource _stopping = new();
    private readonly Func<Envelope, CancellationToken, Task> _forward;
    private readonly Func<TimeSpan, CancellationToken, Task> _pause;
    private readonly Action<string> _warn;
    private readonly string _namespace;
    private readonly Task _sender;

    internal EventPublisher(
        string space,
        Func<Envelope, CancellationToken, Task> forward,
        Func<TimeSpan, CancellationToken, Task> pause,
        Action<string> warn)
    {
        (_namespace, _forward, _pause, _warn) = (space, forward, pause, warn);
        _sender = Task.Run(SendAsync);
    }

    /// <param name="address">containerd's ttrpc address (TTRPC_ADDRESS).</param>
    public static EventPublisher ToContainerd(string address, string space, Action<string> warn) =>
        new(space, new ContainerdEvents(address).ForwardAsync, Task.Delay, warn);

    /// <summary>Queues an event. When containerd has been away for long and the queue is full, the event is dropped.</summary>
    public void Publish(string topic, string typeUrl, IMessage message)
    {
        var envelope = new Envelope
        {
            Timestamp = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow),
            Namespace = _namespace,
            Topic = topic,
            Event = TypeUrl.Pack(typeUrl, message),
        };
        if (!_queue.Writer.TryWrite(envelope))
            _warn($"dropped event {topic}: {QueueSize} events are waiting for containerd");
    }

    private async Task SendAsync()
    {
        try
        {
            await foreach (var envelope in _queue.Reader.ReadAllAsync(_stopping.Token))
                await SendAsync(envelope);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
        }
    }

    private async Task SendAsync(Envelope envelope)
    {
        for (var retry = 1; ; retry++)
        {
            try
            {
                await _forward(envelope, _stopping.Token);
                return;
            }
            catch (Exception e) when (!_stopping.IsCancellationRequested)
            {
                if (retry > MaxRetries)
                {
                    _warn($"gave up event {envelope.Topic}: {e.Message}");
                    return;
                }
            }
            await _pause(TimeSpan.FromSeconds(retry), _stopping.Token);
        }
    }

    /// <summary>Sends what is queued, for two seconds at most.</summary>
    public async ValueTask DisposeAsync()
    {
        _ = _queue.Writer.TryComplete();
        _stopping.CancelAfter(FlushTime);
        await _sender;
        _stopping.Dispose();
    }
}
