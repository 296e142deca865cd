using Google.Protobuf;

namespace KataLike.Contract.Ttrpc;

/// <summary>What a call carries beside its request.</summary>
public sealed record TtrpcCallOptions
{
    /// <summary>How long to wait for the answer; the server learns of it too. Null: for ever.</summary>
    public TimeSpan? Timeout { get; init; }

    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

/// <summary>The calling side of one ttrpc connection. Any number of calls may be outstanding, from any thread.</summary>
/// <remarks>ttrpc has no message for cancelling: a call given up is forgotten here and its late answer dropped.</remarks>
public sealed class TtrpcClient : IAsyncDisposable
{
    private const uint LastStreamId = uint.MaxValue;

    private readonly TtrpcConnection _connection;

    // Stream ids must reach the server in increasing order: taken and queued under this.
    private readonly SemaphoreSlim _order = new(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<uint, TaskCompletionSource<ByteString>> _pending = [];
    private uint _nextStreamId = 1;

    /// <summary>Takes over a connected stream and begins to receive.</summary>
    public TtrpcClient(Stream stream)
    {
        _connection = new TtrpcConnection(stream, OnFrame);
        Closed = RunAsync();
    }

    /// <summary>Completes with the reason when the connection has ended; never faults.</summary>
    public Task<string> Closed { get; }

    public Task<TResponse> CallAsync<TRequest, TResponse>(
        string service, string method, TRequest request, MessageParser<TResponse> parser, CancellationToken cancel = default)
        where TRequest : IMessage
        where TResponse : IMessage<TResponse> =>
        CallAsync(service, method, request, parser, null, cancel);

    /// <exception cref="TtrpcException">The server refused (its message cut and on one line), or the timeout passed (DeadlineExceeded).</exception>
    /// <exception cref="TtrpcDisconnectedException">The connection ended before the answer.</exception>
    /// <exception cref="TtrpcProtocolException">The answer is not the message that was due.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancel"/> was cancelled.</exception>
    public async Task<TResponse> CallAsync<TRequest, TResponse>(
        string service,
        string method,
        TRequest request,
        MessageParser<TResponse> parser,
        TtrpcCallOptions? options,
        CancellationToken cancel = default)
        where TRequest : IMessage
        where TResponse : IMessage<TResponse>
    {
        var envelope = new Request { Service = service, Method = method, Payload = request.ToByteString() };
        if (options?.Metadata is { } metadata)
        {
            foreach (var (key, value) in metadata)
                envelope.Metadata.Add(new KeyValue { Key = key, Value = value });
        }
        if (options?.Timeout is not { } timeout)
            return Parse(service, method, await ExchangeAsync(envelope, cancel), parser);

        envelope.TimeoutNano = timeout.Ticks * 100;
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limited.CancelAfter(timeout);
        try
        {
            return Parse(service, method, await ExchangeAsync(envelope, limited.Token), parser);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new TtrpcException(
                StatusCode.DeadlineExceeded, $"{service}/{method}: no answer within {timeout.TotalSeconds} s");
        }
    }

    public async ValueTask DisposeAsync()
    {
        _connection.Abort("closed");
        _ = await Closed;
    }

    private static TResponse Parse<TResponse>(string service, string method, ByteString payload, MessageParser<TResponse> parser)
        where TResponse : IMessage<TResponse>
    {
        try
        {
            return parser.ParseFrom(payload);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new TtrpcProtocolException($"{service}/{method}: malformed answer: {e.Message}", e);
        }
    }

    private async Task<ByteString> ExchangeAsync(Request envelope, CancellationToken cancel)
    {
        var (streamId, answer) = await BeginAsync(envelope, cancel);
        try
        {
            return await answer.WaitAsync(cancel);
        }
        finally
        {
            lock (_lock)
                _ = _pending.Remove(streamId);
        }
    }

    private async Task<(uint StreamId, Task<ByteString> Answer)> BeginAsync(Request envelope, CancellationToken cancel)
    {
        await _order.WaitAsync(cancel);
        uint streamId = 0;
        try
        {
            var answer = new TaskCompletionSource<ByteString>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (_lock)
            {
                if (_connection.Reason is { } reason)
                    throw new TtrpcDisconnectedException(reason);
                if (_nextStreamId == LastStreamId)
                    throw new TtrpcException(StatusCode.Unavailable, "the stream ids of this connection are used up");
                streamId = _nextStreamId;
                _nextStreamId += 2;
                _pending.Add(streamId, answer);
            }
            if (!await _connection.SendAsync(envelope, streamId, TtrpcFrameType.Request, null, cancel))
                throw new TtrpcDisconnectedException(_connection.Reason!);
            return (streamId, answer.Task);
        }
        catch
        {
            lock (_lock)
                _ = _pending.Remove(streamId);
            throw;
        }
        finally
        {
            _ = _order.Release();
        }
    }

    private async Task<string> RunAsync()
    {
        string reason = await _connection.RunAsync();
        TaskCompletionSource<ByteString>[] abandoned;
        lock (_lock)
        {
            abandoned = [.. _pending.Values];
            _pending.Clear();
        }
        foreach (var answer in abandoned)
            _ = answer.TrySetException(new TtrpcDisconnectedException(reason));
        return reason;
    }

    private ValueTask OnFrame(TtrpcFrame frame)
    {
        if (frame.Type == TtrpcFrameType.Data)
            throw new TtrpcProtocolException($"data frame on stream {frame.StreamId}, which is unary");
        if (frame.Type != TtrpcFrameType.Response)
            return default;

        TaskCompletionSource<ByteString>? answer;
        lock (_lock)
        {
            if (frame.StreamId % 2 == 0 || frame.StreamId >= _nextStreamId)
                throw new TtrpcProtocolException($"answer on stream {frame.StreamId}, which was never begun");
            if (!_pending.Remove(frame.StreamId, out answer))
                return default;
        }
        Complete(answer, frame.Data);
        return default;
    }

    private static void Complete(TaskCompletionSource<ByteString> answer, ReadOnlySpan<byte> data)
    {
        try
        {
            var response = Response.Parser.ParseFrom(data);
            if (response.Status is { Code: not 0 } status)
                _ = answer.TrySetException(new TtrpcException((StatusCode)status.Code, OneLine.Of(status.Message)));
            else
                _ = answer.TrySetResult(response.Payload);
        }
        catch (InvalidProtocolBufferException e)
        {
            var error = new TtrpcProtocolException($"malformed response: {e.Message}", e);
            _ = answer.TrySetException(error);
            throw error;
        }
    }
}
