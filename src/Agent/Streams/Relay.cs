using KataLike.Linux;

namespace KataLike.Agent.Streams;

/// <summary>
/// Moves bytes one way between a pipe and another descriptor, in the kernel. It holds no bytes itself: what the sink does
/// not take stays in the source, so a sink that stalls holds back this source alone.
/// </summary>
/// <remarks>Owns both descriptors. All of it runs on the loop's thread.</remarks>
internal sealed class Relay
{
    /// <summary>
    /// Bytes that a pipe should hold whose other end is a relay's, and that are moved at once: under emulation each change
    /// between agent and process costs as much as copying 16 KiB does. A pod's user may have 128 such pipes before the kernel
    /// makes them small.
    /// </summary>
    public const int PipeCapacity = 512 * 1024;

    private const int MinChunk = 4096;
    private const int ChunksPerTurn = 16;

    private readonly EventLoop _loop;
    private readonly FileDescriptor _source;
    private readonly FileDescriptor _sink;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _sourceKey;
    private ulong _sinkKey;

    // Bytes to ask for: the kernel takes pages for all of them before it looks how many there are.
    private int _chunk = MinChunk;
    private TaskCompletionSource? _empty;

    /// <summary>Begins at once.</summary>
    public Relay(EventLoop loop, FileDescriptor source, FileDescriptor sink)
    {
        (_loop, _source, _sink) = (loop, source, sink);
        Splicing.SetNonBlocking(source);
        Splicing.SetNonBlocking(sink);
        loop.Post(Begin);
    }

    /// <summary>Completes when the source has ended, or one side has failed; both are closed then.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Completes when the source has nothing more to give for now.</summary>
    public Task EmptyAsync()
    {
        var empty = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(() =>
        {
            _empty = empty;
            Pump();
        });
        return empty.Task;
    }

    /// <summary>Closes both sides, whatever is still between them.</summary>
    public void Abort() => _loop.Post(End);

    private void Begin()
    {
        if (Ended.IsCompleted)
        {
            return;
        }
        _sourceKey = _loop.Watch(_source, PollEvents.Readable, _ => Pump());
        _sinkKey = _loop.Watch(_sink, PollEvents.Writable, events =>
        {
            // A pipe that nobody reads from any more: whoever feeds it is to know before he writes again.
            if ((events & PollEvents.Error) != 0)
            {
                End();
            }
            Pump();
        });
    }

    private void Pump()
    {
        for (var turn = 0; turn < ChunksPerTurn && !Ended.IsCompleted; turn++)
        {
            var moved = Splicing.TrySplice(_source, _sink, _chunk);
            if (moved == -(int)Errno.EAGAIN)
            {
                if (Splicing.Available(_source) == 0)
                {
                    _empty?.TrySetResult();
                }
                return;
            }
            if (moved == _chunk)
            {
                _chunk = Math.Min(4 * _chunk, PipeCapacity);
            }
            else if (moved < MinChunk)
            {
                _chunk = MinChunk;
            }
            // The source's end (EIO: the last process has left a terminal), or a side that failed.
            if (moved <= 0)
            {
                End();
            }
        }
        if (!Ended.IsCompleted)
        {
            _loop.Post(Pump);
        }
        else
        {
            _empty?.TrySetResult();
        }
    }

    private void End()
    {
        if (!_ended.TrySetResult())
        {
            return;
        }
        if (_sourceKey != 0)
        {
            _loop.Forget(_source, _sourceKey);
            _loop.Forget(_sink, _sinkKey);
        }
        // Only where it is a socket. The peer learns of the end even while another descriptor keeps the socket open.
        UnixSockets.ShutDown(_sink, writing: true);
        _source.Dispose();
        _sink.Dispose();
        _empty?.TrySetResult();
    }
}
