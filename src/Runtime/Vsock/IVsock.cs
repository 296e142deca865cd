using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

// vsock: stream sockets between a guest and its host, carried by a virtio device with three queues
// (virtio 1.2, 5.10): rx (device to driver), tx (driver to device), and events, which nobody sends here.
// A packet is a 44-byte header and a payload. Streams are flow-controlled by credit: each side says how many
// bytes it can buffer and how many it has consumed (buf_alloc, fwd_cnt), the other never sends more than that.
//
// Where the host's kernel has /dev/vhost-vsock, it is the device (KernelVsock). Elsewhere we are the device
// (VhostUserVsock): QEMU maps the guest's memory from a memfd, sends us that memfd and the queues' eventfds over
// a Unix socket (the vhost-user protocol), and is then out of the way. Bytes go from the guest's memory to the
// caller's descriptor with one writev, and from the descriptor into the guest's buffers with one readv.
//
//   PacketHeader       the 44 bytes
//   Connection         one stream's credit and shutdown flags; no I/O
//   Muxer              host ports, connections, the control packets still to be sent; no I/O
//   GuestMemory        the guest's memory as mapped here; every address is checked
//   Virtqueue          the split ring (virtio 1.2, 2.7)
//   VhostUserMessage   the vhost-user protocol's frames
//   VhostUserBackend   its state: features, memory, queues
//   Endpoint           a descriptor of the caller, made non-blocking without touching what others share
//   GuestStream        a channel's endpoints and the bytes that its sink refused so far
//   VsockDevice        one thread that waits for all of them (VhostUserVsock is its owner)
//   Pump               a thread between two descriptors, where waiting for readiness is impossible
//
// The guest is hostile. It may write anything into the queues at any time: a descriptor is copied once and then
// checked, headers are copied before they are read, nothing that it sends makes us allocate more than
// Connection.BufferSize for each port that the host opened, and a broken queue ends the device, not the process.

/// <summary>The host's end of a guest's vsock. The guest dials, the host accepts.</summary>
internal interface IVsock : IAsyncDisposable
{
    /// <summary>The guest's context id, for QEMU's guest-cid.</summary>
    uint GuestCid { get; }

    /// <summary>
    /// Opens a host port for one connection of the guest, which is joined to the two descriptors. They are owned by
    /// the channel from here on (also when this throws), and may be one and the same; null reads nothing, or drops
    /// what comes. Port 0 chooses a free one that cannot be guessed.
    /// </summary>
    VsockChannel Open(uint port, FileDescriptor? source, FileDescriptor? sink);
}
