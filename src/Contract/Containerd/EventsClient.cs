using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Containerd.Events;

/// <summary>Sends events to containerd. Errors are those of <see cref="TtrpcClient"/>.</summary>
public sealed class EventsClient(TtrpcClient connection)
{
    public const string ServiceName = "containerd.services.events.ttrpc.v1.Events";

    /// <summary>containerd reads the namespace from this metadata, not from the envelope alone.</summary>
    public const string NamespaceKey = "containerd-namespace-ttrpc";

    public TtrpcClient Connection { get; } = connection;

    public Task<Empty> ForwardAsync(Envelope envelope, TimeSpan timeout, CancellationToken cancel = default)
    {
        var options = new TtrpcCallOptions
        {
            Timeout = timeout,
            Metadata = new Dictionary<string, string> { [NamespaceKey] = envelope.Namespace },
        };
        return Connection.CallAsync(
            ServiceName, "Forward", new ForwardRequest { Envelope = envelope }, Empty.Parser, options, cancel);
    }
}
