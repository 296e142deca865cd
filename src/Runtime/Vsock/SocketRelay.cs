using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>Joins a connected socket to a channel's descriptors with a thread for each direction. Owns all of them.</summary>
internal sealed class SocketRelay
{
    private readonly FileDescriptor socket;
    private readonly Pump? input;
    private readonly Pump output;

    public SocketRelay(FileDescriptor socket, FileDescriptor? source, FileDescriptor? sink, VsockChannel channel)
    {
        this.socket = socket;
        if (source is not null)
            input = new Pump(ReferenceEquals(source, sink) ? source.Duplicate() : source, socket.Duplicate());
        output = new Pump(socket.Duplicate(), sink ?? Files.Open("/dev/null", Files.WriteOnly));
        channel.MarkConnected();
        output.Ended.ContinueWith(_ => channel.MarkFinished(), TaskScheduler.Default);
        output.Ended.ContinueWith(_ => EndInput(), TaskScheduler.Default);
        Task.WhenAll(input?.Ended ?? Task.CompletedTask, output.Ended)
            .ContinueWith(_ => socket.Dispose(), TaskScheduler.Default);
        input?.Start();
        output.Start();
    }

    /// <summary>A guest that closed, and did not only shut down its sending, reads no more.</summary>
    private void EndInput()
    {
        var (state, _) = Polling.WaitAny(socket, PollEvents.None, socket, PollEvents.None, timeout: 0);
        if (state.HasFlag(PollEvents.HangUp))
            input?.Abort();
    }

    public void CloseSource()
    {
        if (input is not null)
            input.Drain();
        else
            UnixSockets.ShutDown(socket, writing: true);
    }

    public void Abort()
    {
        input?.Abort();
        output.Abort();
        if (!socket.IsClosed)
            UnixSockets.ShutDown(socket, reading: true, writing: true);
    }
}
