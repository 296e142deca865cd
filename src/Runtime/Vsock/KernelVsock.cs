using System.Collections.Concurrent;
using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>The kernel's vhost-vsock device: QEMU gets <see cref="Vhost"/>, the host's ports are AF_VSOCK listeners.</summary>
internal sealed class KernelVsock : IVsock
{
    private readonly ConcurrentDictionary<KernelListener, bool> listeners = new();

    private KernelVsock(FileDescriptor vhost, uint guestCid) => (Vhost, GuestCid) = (vhost, guestCid);

    public uint GuestCid { get; }

    /// <summary>/dev/vhost-vsock with the guest's cid claimed (-device vhost-vsock-pci,vhostfd=N,guest-cid=CID).</summary>
    public FileDescriptor Vhost { get; }

    /// <summary>Claims a free context id; null where the kernel has no such device for us.</summary>
    public static KernelVsock? TryCreate()
    {
        FileDescriptor vhost;
        try
        {
            vhost = Files.Open(VsockSockets.VhostDevice, Files.ReadWrite);
        }
        catch (LinuxException)
        {
            return null;
        }

        uint cid;
        do cid = RandomBytes.Between(3, int.MaxValue);
        while (!VsockSockets.TrySetGuestCid(vhost, cid));
        return new KernelVsock(vhost, cid);
    }

    public VsockChannel Open(uint port, FileDescriptor? source, FileDescriptor? sink)
    {
        try
        {
            var (socket, actual) = Listen(port);
            var listener = new KernelListener(socket, actual, GuestCid, source, sink);
            listeners.TryAdd(listener, true);
            listener.Channel.Finished.ContinueWith(
                _ => listeners.TryRemove(listener, out var _), TaskScheduler.Default);
            listener.Start();
            return listener.Channel;
        }
        catch
        {
            source?.Dispose();
            sink?.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var listener in listeners.Keys)
        {
            listener.Channel.Abort();
            await listener.Channel.Finished.ConfigureAwait(false);
        }

        Vhost.Dispose();
    }

    private static (FileDescriptor Socket, uint Port) Listen(uint port)
    {
        if (port != 0)
            return (VsockSockets.Listen(VsockSockets.AnyCid, port), port);
        while (true)
        {
            port = VsockChannel.RandomPort();
            try
            {
                return (VsockSockets.Listen(VsockSockets.AnyCid, port), port);
            }
            catch (LinuxException e) when (e.Errno == Errno.EADDRINUSE)
            {
                // Another sandbox has it; draw again.
            }
        }
    }
}

/// <summary>One host port: waits for the guest's connection, then two pumps join it to the caller's descriptors.</summary>
internal sealed class KernelListener
{
    private readonly FileDescriptor listener;
    private readonly FileDescriptor wake = Polling.CreateEvent();
    private readonly uint guestCid;
    private readonly FileDescriptor? source;
    private readonly FileDescriptor? sink;
    private readonly Lock gate = new();
    private SocketRelay? relay;
    private bool aborted;
    private bool sourceClosed;

    public KernelListener(
        FileDescriptor listener, uint port, uint guestCid, FileDescriptor? source, FileDescriptor? sink)
    {
        (this.listener, this.guestCid, this.source, this.sink) = (listener, guestCid, source, sink);
        Channel = new VsockChannel(port, CloseSource, Abort);
    }

    public VsockChannel Channel { get; }

    public void Start() => new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "vsock accept" }.Start();

    private void Run()
    {
        try
        {
            var socket = Accept();
            listener.Dispose();
            lock (gate)
            {
                if (socket is null || aborted)
                {
                    socket?.Dispose();
                    source?.Dispose();
                    sink?.Dispose();
                    Channel.MarkFinished();
                    return;
                }

                relay = new SocketRelay(socket, source, sink, Channel);
                if (sourceClosed)
                    relay.CloseSource();
            }
        }
        catch (LinuxException)
        {
            source?.Dispose();
            sink?.Dispose();
            Channel.MarkFinished();
        }
    }

    /// <summary>The guest's connection; others (another guest that guesses) are turned away. Null when aborted.</summary>
    private FileDescriptor? Accept()
    {
        while (true)
        {
            var (_, woken) = Polling.WaitAny(listener, PollEvents.Readable, wake, PollEvents.Readable);
            if (woken != PollEvents.None)
                return null;
            var (socket, peer, _) = VsockSockets.Accept(listener);
            if (peer == guestCid)
                return socket;
            socket.Dispose();
        }
    }

    private void CloseSource()
    {
        lock (gate)
        {
            sourceClosed = true;
            relay?.CloseSource();
        }
    }

    private void Abort()
    {
        lock (gate)
        {
            aborted = true;
            relay?.Abort();
        }

        Polling.Signal(wake);
    }
}
