using System.Text.Json;
using System.Text.Json.Nodes;
using KataLike.Linux;

namespace KataLike.Runtime.Hypervisor;

/// <summary>Our side of one QMP connection; owns the socket. Commands may be given at once: they wait for the greeting.</summary>
internal sealed class QmpClient : IAsyncDisposable
{
    private readonly Stream _stream;
    private readonly FileDescriptor _socket;
    private readonly SemaphoreSlim _writing = new(1);
    private readonly TaskCompletionSource _greeted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _negotiated;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, TaskCompletionSource<JsonElement>> _pending = [];
    private long _nextId = 1;
    private string? _ended;

    /// <param name="greeted">QEMU has greeted somebody before us, and was answered.</param>
    public QmpClient(FileDescriptor socket, bool greeted = false)
    {
        _socket = socket.Duplicate();
        _stream = SocketStreams.Take(socket);
        Closed = ReceiveAsync();
        _negotiated = greeted ? Task.CompletedTask : NegotiateAsync();
    }

    /// <summary>Completes with the reason when the connection has ended; never faults.</summary>
    public Task<string> Closed { get; }

    /// <summary>The name of an event and its data, on the receiving thread.</summary>
    public event Action<string, JsonElement?>? Event;

    /// <param name="passed">A descriptor that QEMU gets with the command; it stays the caller's.</param>
    /// <exception cref="QmpException">QEMU refused, or the connection ended.</exception>
    public async Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments = null, FileDescriptor? passed = null, CancellationToken cancel = default)
    {
        await _negotiated.WaitAsync(cancel);
        return await SendAsync(command, arguments, passed, cancel);
    }

    private async Task NegotiateAsync()
    {
        await _greeted.Task;
        await SendAsync("qmp_capabilities", null, null, CancellationToken.None);
        Timeline.Mark("QMP answers");
    }

    private async Task<JsonElement> SendAsync(
        string command, JsonObject? arguments, FileDescriptor? passed, CancellationToken cancel)
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
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(new QmpCommand(command, arguments, id), QmpJson.Default.QmpCommand), (byte)'\n'];
        await _writing.WaitAsync(cancel);
        try
        {
            if (passed is null)
                await _stream.WriteAsync(line, cancel);
            else if (UnixSockets.TrySend(_socket, line, [passed]) != line.Length)
                throw new QmpException($"qmp: {command}: qemu does not read what it is sent");
        }
        catch (Exception error) when (error is not QmpException and (IOException or ObjectDisposedException))
        {
            // QEMU has just ended, which is not yet seen where answers are read.
            throw new QmpException($"qmp: {command}: {error.Message}", error);
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
        catch (Exception error) when (error is IOException or ObjectDisposedException)
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
                Event?.Invoke(name, message.Data);
            else if (Take(message.Id) is { } answer)
                Complete(answer, message);
        }
        return received.Length;
    }

    private static void Complete(TaskCompletionSource<JsonElement> answer, QmpMessage message)
    {
        if (message.Error is { } error)
            answer.TrySetException(new QmpException($"qmp: {error.Description}", kind: error.Class ?? ""));
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
        _socket.Dispose();
        await Closed;
        _ = _negotiated.Exception;
    }
}
