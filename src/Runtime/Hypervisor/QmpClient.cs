using System.Text.Json;

namespace KataLike.Runtime.Hypervisor;

/// <summary>Our side of one QMP connection; owns the stream. Commands may be given at once: they wait for the greeting.</summary>
internal sealed class QmpClient : IAsyncDisposable
{
    private readonly Stream _stream;
    private readonly SemaphoreSlim _writing = new(1);
    private readonly TaskCompletionSource _greeted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _negotiated;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, TaskCompletionSource<JsonElement>> _pending = [];
    private long _nextId = 1;
    private string? _ended;

    public QmpClient(Stream stream)
    {
        _stream = stream;
        Closed = ReceiveAsync();
        _negotiated = NegotiateAsync();
    }

    /// <summary>Completes with the reason when the connection has ended; never faults.</summary>
    public Task<string> Closed { get; }

    /// <summary>The name of an event, on the receiving thread.</summary>
    public event Action<string>? Event;

    /// <exception cref="QmpException">QEMU refused, or the connection ended.</exception>
    public async Task<JsonElement> ExecuteAsync(string command, CancellationToken cancel)
    {
        await _negotiated.WaitAsync(cancel);
        return await SendAsync(command, cancel);
    }

    private async Task NegotiateAsync()
    {
        await _greeted.Task;
        await SendAsync("qmp_capabilities", CancellationToken.None);
    }

    private async Task<JsonElement> SendAsync(string command, CancellationToken cancel)
    {
        var answer = new TaskCompletionSource<JsonElement>(TaskCreationOptions.RunContinuationsAsynchronously);
        long id;
        lock (_lock)
        {
            if (_ended is not null)
                throw new QmpException($"qmp: {command}: {_ended}");
            id = _nextId++;
            _pending.Add(id, answer);
        }
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(new QmpCommand(command, id), QmpJson.Default.QmpCommand), (byte)'\n'];
        await _writing.WaitAsync(cancel);
        try
        {
            await _stream.WriteAsync(line, cancel);
        }
        finally
        {
            _writing.Release();
        }
        return await answer.Task.WaitAsync(cancel);
    }

    private async Task<string> ReceiveAsync()
    {
        var reason = "qemu closed the connection";
        try
        {
            await ReceiveLinesAsync();
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException or System.Net.Sockets.SocketException)
        {
            reason = error.Message;
        }
        List<TaskCompletionSource<JsonElement>> abandoned;
        lock (_lock)
        {
            _ended = reason;
            abandoned = [.. _pending.Values];
        }
        var ended = new QmpException($"qmp: {reason}");
        foreach (var answer in abandoned)
            answer.TrySetException(ended);
        _greeted.TrySetException(ended);
        return reason;
    }

    private async Task ReceiveLinesAsync()
    {
        var buffer = new byte[4096];
        var held = 0;
        while (await _stream.ReadAsync(buffer.AsMemory(held)) is > 0 and var count)
        {
            held += count;
            var rest = Dispatch(buffer.AsSpan(0, held));
            buffer.AsSpan(held - rest, rest).CopyTo(buffer);
            held = rest;
            if (held == buffer.Length)
                Array.Resize(ref buffer, buffer.Length * 2);
        }
    }

    /// <summary>The number of bytes left over.</summary>
    private int Dispatch(ReadOnlySpan<byte> received)
    {
        while (QmpReader.TryRead(ref received, out var message))
        {
            if (message!.Greeting is not null)
                _greeted.TrySetResult();
            else if (message.Event is { } name)
                Event?.Invoke(name);
            else if (Take(message.Id) is { } answer)
                Complete(answer, message);
        }
        return received.Length;
    }

    private static void Complete(TaskCompletionSource<JsonElement> answer, QmpMessage message)
    {
        if (message.Error is { } error)
            answer.TrySetException(new QmpException($"qmp: {error.Description}"));
        else
            answer.TrySetResult(message.Return!.Value);
    }

    private TaskCompletionSource<JsonElement>? Take(long? id)
    {
        lock (_lock)
            return id is { } number && _pending.Remove(number, out var answer) ? answer : null;
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        await Closed;
        _ = _negotiated.Exception;
    }
}
