using System.Net.Sockets;
using System.Text;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;

namespace KataLike.Runtime.Hypervisor;

/// <summary>
/// What a child or the guest's console writes: the first 1 MiB to a file, the last 64 KiB in memory for messages. A
/// guest that writes for ever fills neither the disk nor our memory.
/// </summary>
internal sealed class BoundedLog : IDisposable
{
    public const int FileLimit = 1 << 20, TailLimit = 1 << 16;

    private readonly FileStream _file;
    private readonly Stream _stream;
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _said = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private byte[] _tail = [];
    private string? _awaited;

    public BoundedLog(string path)
    {
        _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        (ChildEnd, var ours) = UnixSockets.Pair();
        _stream = SocketStreams.Take(ours);
        Ended = ReadAsync();
    }

    /// <summary>For the child's standard output or error; to be closed here once the child has it.</summary>
    public FileDescriptor ChildEnd { get; }

    /// <summary>Completes once every writer has closed its end. Never faults.</summary>
    public Task Ended { get; }

    public string Tail
    {
        get
        {
            lock (_lock)
                return new string([.. Encoding.UTF8.GetString(_tail).Where(c => c == '\n' || !char.IsControl(c))]);
        }
    }

    /// <summary>Completes when this has been written. One text may be waited for.</summary>
    public Task SaidAsync(string text)
    {
        lock (_lock)
            _awaited = text;
        Look();
        return _said.Task;
    }

    private void Look()
    {
        string? awaited;
        lock (_lock)
            awaited = _awaited;
        if (awaited is not null && Tail.Contains(awaited, StringComparison.Ordinal))
            _said.TrySetResult();
    }

    private async Task ReadAsync()
    {
        try
        {
            var buffer = new byte[4096];
            while (await _stream.ReadAsync(buffer) is > 0 and var count)
                Take(buffer.AsSpan(0, count));
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException)
        {
            // The log ends where it cannot be read or written any more; the machine does not depend on it.
        }
    }

    private void Take(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
            _tail = [.. _tail.AsSpan(Math.Max(0, _tail.Length + bytes.Length - TailLimit)), .. bytes];
        Look();
        var room = (int)Math.Min(bytes.Length, FileLimit - _file.Length);
        if (room > 0)
            _file.Write(bytes[..room]);
    }

    public void Dispose()
    {
        ChildEnd.Dispose();
        _stream.Dispose();
        _file.Dispose();
    }
}

/// <summary>Connected sockets that were made by system calls, as streams.</summary>
internal static class SocketStreams
{
    /// <summary>The socket belongs to the stream from here on.</summary>
    public static Stream Take(FileDescriptor socket)
    {
        var handle = new SafeSocketHandle(socket.Number, ownsHandle: true);
        socket.SetHandleAsInvalid();
        return new SocketStream(new Socket(handle));
    }
}
