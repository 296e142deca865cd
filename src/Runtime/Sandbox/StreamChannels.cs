using KataLike.Runtime.Vsock;
using Wire = KataLike.Contract.Agent.Streams;

namespace KataLike.Runtime.Sandboxes;

/// <summary>The vsock channels of one process's streams. Each host port lives for one connection.</summary>
internal sealed class StreamChannels
{
    private readonly ProcessStreams _streams;
    private readonly VsockChannel? _input, _output, _error;

    /// <summary>Opens the ports; the streams belong to the channels from here on, also when this throws.</summary>
    public StreamChannels(IVsock vsock, ProcessStreams streams)
    {
        _streams = streams;
        try
        {
            if (streams.Terminal)
            {
                _input = _output = vsock.Open(0, streams.Stdin, streams.Stdout);
                return;
            }
            _input = streams.Stdin is null ? null : vsock.Open(0, streams.Stdin, null);
            _output = streams.Stdout is null ? null : vsock.Open(0, null, streams.Stdout);
            _error = streams.Stderr is null ? null : vsock.Open(0, null, streams.Stderr);
        }
        catch
        {
            Abort();
            streams.Dispose();
            throw;
        }
    }

    /// <summary>What the agent is told of them.</summary>
    public Wire Ports => _streams.Terminal
        ? new Wire { Terminal = _output!.Port, Columns = _streams.Columns, Rows = _streams.Rows }
        : new Wire { Stdin = _input?.Port ?? 0, Stdout = _output?.Port ?? 0, Stderr = _error?.Port ?? 0 };

    /// <summary>All that the process wrote has reached the sinks.</summary>
    public Task Drained => Task.WhenAll(_output?.Finished ?? Task.CompletedTask, _error?.Finished ?? Task.CompletedTask);

    public void CloseInput() => _input?.CloseSource();

    public void Abort()
    {
        _input?.Abort();
        _output?.Abort();
        _error?.Abort();
        foreach (var descriptor in _streams.KeepOpen ?? [])
            descriptor.Dispose();
    }
}
