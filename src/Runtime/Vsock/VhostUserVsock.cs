using System.Collections.Concurrent;
using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>
/// A vsock device of our own: QEMU's vhost-user-vsock talks to it over <see cref="FrontEnd"/>. Needs no kernel module
/// and no privilege. One thread does all of its work; other threads hand it commands.
/// </summary>
internal sealed class VhostUserVsock : IVsock
{
    private const ulong WakeKey = 1UL << 40, FrontEndKey = 1UL << 41, KickKey = 1UL << 42;

    private readonly Epoll epoll = new();
    private readonly FileDescriptor wake = Polling.CreateEvent();
    private readonly FileDescriptor backEnd;
    private readonly VhostUserReader reader = new();
    private readonly VhostUserBackend backend;
    private readonly VsockDevice device;
    private readonly Action<string>? report;
    private readonly ConcurrentQueue<Action> commands = new();
    private readonly ConcurrentDictionary<uint, bool> ports = new();
    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly FileDescriptor?[] kicks = new FileDescriptor?[3];
    private bool broken;
    private volatile bool stopping;

    /// <param name="guestCid">The guest's context id; it means nothing outside of this machine.</param>
    /// <param name="report">Is told, on the device's thread, why the device stopped working.</param>
    public VhostUserVsock(uint guestCid = 3, Action<string>? report = null)
    {
        (GuestCid, this.report) = (guestCid, report);
        (FrontEnd, backEnd) = UnixSockets.Pair();
        backend = new VhostUserBackend(guestCid) { QueueStopped = QueueStopped, KickChanged = KickChanged };
        device = new VsockDevice(guestCid, backend);
        epoll.Add(wake, PollEvents.Readable, WakeKey);
        epoll.Add(backEnd, PollEvents.Readable, FrontEndKey);
        new Thread(Run, maxStackSize: 512 * 1024) { IsBackground = true, Name = "vsock" }.Start();
    }

    public uint GuestCid { get; }

    /// <summary>The connected socket for QEMU (-chardev socket,fd=N). To be closed here once QEMU has it.</summary>
    public FileDescriptor FrontEnd { get; }

    public VsockChannel Open(uint port, FileDescriptor? source, FileDescriptor? sink)
    {
        port = Reserve(port);
        try
        {
            GuestStream? stream = null;
            var channel = new VsockChannel(
                port, () => Command(() => device.CloseSource(stream!)), () => Command(() => device.Abort(stream!)),
                () => ports.TryRemove(port, out _));
            stream = CreateStream(channel, source, sink);
            Command(() => Open(stream));
            return channel;
        }
        catch
        {
            ports.TryRemove(port, out _);
            source?.Dispose();
            sink?.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        stopping = true;
        Command(() => { });
        await ended.Task.ConfigureAwait(false);
        FrontEnd.Dispose();
    }

    private uint Reserve(uint port)
    {
        if (ports.Count >= Muxer.MaxPorts)
            throw new RuntimeException($"vsock: {Muxer.MaxPorts} ports are open already");
        if (port != 0)
            return ports.TryAdd(port, true) ? port : throw new RuntimeException($"vsock: port {port} is in use");
        do port = VsockChannel.RandomPort();
        while (!ports.TryAdd(port, true));
        return port;
    }

    private GuestStream CreateStream(VsockChannel channel, FileDescriptor? source, FileDescriptor? sink)
    {
        if (source is not null && ReferenceEquals(source, sink))
        {
            if (Files.Status(source).IsSocket)
            {
                var both = Endpoint.ForSource(source);
                return new GuestStream(channel, both, both, epoll);
            }

            sink = source.Duplicate();
        }

        return new GuestStream(
            channel, source is null ? null : Endpoint.ForSource(source), sink is null ? null : Endpoint.ForSink(sink),
            epoll);
    }

    private void Open(GuestStream stream)
    {
        if (broken)
            stream.Abort();
        else
            device.Open(stream);
    }

    private void Command(Action command)
    {
        commands.Enqueue(command);
        lock (wake)
        {
            if (!wake.IsClosed)
                Polling.Signal(wake);
        }
    }

    private void Run()
    {
        var more = false;
        while (!stopping)
        {
            try
            {
                more = Once(more);
            }
            catch (Exception e) when (e is VsockProtocolException or LinuxException)
            {
                Break(e.Message);
                more = false;
            }
        }

        End();
    }

    private bool Once(bool more)
    {
        var events = epoll.Wait(more ? 0 : -1);
        // What was opened before the guest was told of it is known before the guest's answer is looked at.
        while (commands.TryDequeue(out var command))
            command();
        foreach (var happened in events)
        {
            if (happened.Key == WakeKey)
                Polling.Clear(wake);
            else if (happened.Key == FrontEndKey)
                ReadFrontEnd();
            else if ((happened.Key & KickKey) != 0)
                ClearKick((int)(happened.Key & 0xff));
            else
                device.Happened(happened.Key, happened.Events);
        }

        return !broken && device.Turn();
    }

    private void ReadFrontEnd()
    {
        while (!broken)
        {
            var count = UnixSockets.TryReceive(backEnd, reader.Missing.Span, reader.Files);
            if (count == -(nint)Errno.EAGAIN)
                return;
            if (count <= 0)
            {
                device.TakeLastPackets();
                Break(count == 0 ? null : $"vhost-user: {((Errno)(-count)).Text()}");
                return;
            }

            if (reader.Advance((int)count) is not { } message)
                continue;
            var reply = backend.Handle(message);
            if (reply is not null && UnixSockets.TrySend(backEnd, reply) != reply.Length)
                throw new VsockProtocolException("vhost-user: the front end does not read its replies");
        }
    }

    private void KickChanged(int index, FileDescriptor? old, FileDescriptor? kick)
    {
        if (old is not null)
            epoll.Remove(old);
        kicks[index] = kick;
        if (kick is not null)
            epoll.Add(kick, PollEvents.Readable | PollEvents.EdgeTriggered, KickKey | (uint)index);
    }

    private void ClearKick(int index)
    {
        if (kicks[index] is { } kick)
            Polling.Clear(kick);
    }

    private void QueueStopped(int index)
    {
        if (index == VhostUserBackend.EventQueue)
            return;
        device.TakeLastPackets();
        device.DropConnections();
    }

    /// <summary>The device is of no use any more: what was received is still delivered, nothing else happens.</summary>
    private void Break(string? reason)
    {
        if (broken)
            return;
        broken = true;
        epoll.Remove(backEnd);
        foreach (var kick in kicks)
        {
            if (kick is not null)
                epoll.Remove(kick);
        }

        device.DropConnections();
        device.CloseIdle();
        UnixSockets.ShutDown(backEnd, reading: true, writing: true);
        if (reason is not null)
            report?.Invoke(reason);
    }

    private void End()
    {
        lock (wake)
            wake.Dispose();
        while (commands.TryDequeue(out var command))
            command();
        device.Close();
        backend.Dispose();
        reader.Dispose();
        backEnd.Dispose();
        epoll.Dispose();
        ended.SetResult();
    }
}
