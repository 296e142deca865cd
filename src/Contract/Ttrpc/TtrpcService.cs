using Google.Protobuf;

namespace KataLike.Contract.Ttrpc;

/// <summary>The methods that a server offers under one service name. Built once, then only read.</summary>
public sealed class TtrpcService(string name)
{
    private readonly Dictionary<string, Handler> _methods = [];

    internal delegate Task<IMessage> Handler(ByteString payload, TtrpcContext context);

    /// <summary>Full protobuf name, for example "containerd.task.v2.Task".</summary>
    public string Name { get; } = name;

    /// <summary>Adds a method. What it throws becomes the status: see <see cref="TtrpcServer"/>.</summary>
    public TtrpcService Method<TRequest, TResponse>(
        string name, MessageParser<TRequest> parser, Func<TRequest, TtrpcContext, Task<TResponse>> handler)
        where TRequest : IMessage<TRequest>
        where TResponse : class, IMessage
    {
        _methods.Add(name, async (payload, context) => await handler(Parse(parser, payload), context));
        return this;
    }

    internal Handler? Find(string method) => _methods.GetValueOrDefault(method);

    private static TRequest Parse<TRequest>(MessageParser<TRequest> parser, ByteString payload)
        where TRequest : IMessage<TRequest>
    {
        try
        {
            return parser.ParseFrom(payload);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new TtrpcException(StatusCode.InvalidArgument, $"ttrpc: error unmarshalling payload: {e.Message}");
        }
    }
}

/// <summary>What a handler may know of the call that it serves.</summary>
public sealed class TtrpcContext
{
    private readonly Request _request;
    private readonly TaskCompletionSource _answerSent = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal TtrpcContext(Request request, CancellationToken cancel)
    {
        _request = request;
        CancellationToken = cancel;
    }

    public string Service => _request.Service;

    public string Method => _request.Method;

    /// <summary>Cancelled when the connection ends or the client's timeout has passed.</summary>
    public CancellationToken CancellationToken { get; }

    /// <summary>Completes when the answer has been handed to the kernel, or the connection has ended: the time to exit.</summary>
    public Task AnswerSent => _answerSent.Task;

    internal TaskCompletionSource AnswerSentSource => _answerSent;

    /// <summary>The first value of a metadata key, or null.</summary>
    public string? Metadata(string key)
    {
        foreach (var pair in _request.Metadata)
        {
            if (pair.Key == key)
                return pair.Value;
        }
        return null;
    }
}
