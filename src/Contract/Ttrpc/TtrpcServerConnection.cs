using Google.Protobuf;

namespace KataLike.Contract.Ttrpc;

/// <summary>The serving side of one connection.</summary>
internal sealed class TtrpcServerConnection
{
    private readonly TtrpcServer _server;
    private readonly TtrpcConnection _connection;
    private uint _lastStreamId;
    private int _callsUnderWay;

    public TtrpcServerConnection(TtrpcServer server, Stream stream)
    {
        _server = server;
        _connection = new TtrpcConnection(stream, OnFrame);
    }

    public Task<string> RunAsync() => _connection.RunAsync();

    public void Stop() => _connection.Abort("stopped");

    private ValueTask OnFrame(TtrpcFrame frame)
    {
        uint id = frame.StreamId;
        if (id % 2 == 0)
            return RefuseAsync(id, StatusCode.InvalidArgument, "StreamID must be odd for client initiated streams");
        if (frame.Type == TtrpcFrameType.Data)
            return RefuseAsync(id, StatusCode.InvalidArgument, "StreamID is no longer active");
        if (frame.Type != TtrpcFrameType.Request)
            return default;
        if (id <= _lastStreamId)
            return RefuseAsync(id, StatusCode.InvalidArgument, "StreamID cannot be re-used and must increment");
        _lastStreamId = id;
        if (frame.Flags != 0)
            return RefuseAsync(id, StatusCode.Unimplemented, "streaming is not supported: unary calls only");
        return Begin(id, frame.Data);
    }

    private ValueTask Begin(uint streamId, ReadOnlySpan<byte> data)
    {
        Request request;
        TtrpcService.Handler handler;
        try
        {
            request = Request.Parser.ParseFrom(data);
            handler = _server.Find(request.Service, request.Method);
        }
        catch (InvalidProtocolBufferException e)
        {
            return RefuseAsync(streamId, StatusCode.InvalidArgument, $"unmarshal request error: {e.Message}");
        }
        catch (TtrpcException e)
        {
            return RefuseAsync(streamId, e.Code, e.Message);
        }

        if (Interlocked.Increment(ref _callsUnderWay) > _server.MaxConcurrentCalls)
        {
            _ = Interlocked.Decrement(ref _callsUnderWay);
            return RefuseAsync(
                streamId, StatusCode.ResourceExhausted, $"more than {_server.MaxConcurrentCalls} calls under way");
        }
        _ = ThreadPool.UnsafeQueueUserWorkItem(new Call(this, streamId, request, handler), preferLocal: false);
        return default;
    }

    private async ValueTask RefuseAsync(uint streamId, StatusCode code, string message) =>
        _ = await _connection.SendAsync(Refusal(code, message), streamId, TtrpcFrameType.Response);

    private static Response Refusal(StatusCode code, string message) =>
        new() { Status = new Status { Code = (int)code, Message = message } };

    /// <summary>One call, from the pool to its answer.</summary>
    private sealed class Call(
        TtrpcServerConnection owner, uint streamId, Request request, TtrpcService.Handler handler) : IThreadPoolWorkItem
    {
        public void Execute() => _ = RunAsync();

        private async Task RunAsync()
        {
            var connection = owner._connection;
            using var deadline = Deadline(request.TimeoutNano, connection.Ended);
            var context = new TtrpcContext(request, deadline?.Token ?? connection.Ended);
            var response = await AnswerAsync(context);
            try
            {
                _ = await connection.SendAsync(response, streamId, TtrpcFrameType.Response, context.AnswerSentSource);
            }
            catch (TtrpcException e)
            {
                _ = await connection.SendAsync(
                    Refusal(e.Code, e.Message), streamId, TtrpcFrameType.Response, context.AnswerSentSource);
            }
            // Only now: a peer that calls but does not read is held to the limit as well.
            _ = Interlocked.Decrement(ref owner._callsUnderWay);
        }

        private async Task<Response> AnswerAsync(TtrpcContext context)
        {
            try
            {
                return new Response { Payload = (await handler(request.Payload, context)).ToByteString() };
            }
            catch (TtrpcException e)
            {
                return Refusal(e.Code, e.Message);
            }
            catch (OperationCanceledException e) when (context.CancellationToken.IsCancellationRequested)
            {
                bool late = !owner._connection.Ended.IsCancellationRequested;
                return Refusal(late ? StatusCode.DeadlineExceeded : StatusCode.Cancelled, e.Message);
            }
            catch (Exception e)
            {
                return Refusal(StatusCode.Unknown, e.Message);
            }
        }

        /// <summary>Null where the client set no timeout, or one beyond what a timer can hold (49 days).</summary>
        private static CancellationTokenSource? Deadline(long nanoseconds, CancellationToken ended)
        {
            long milliseconds = nanoseconds / 1_000_000;
            if (nanoseconds <= 0 || milliseconds >= uint.MaxValue - 1)
                return null;
            var source = CancellationTokenSource.CreateLinkedTokenSource(ended);
            source.CancelAfter(TimeSpan.FromMilliseconds(milliseconds));
            return source;
        }
    }
}
