namespace KataLike.Runtime.Vsock;

/// <summary>The guest or QEMU broke the protocol of the vsock device; the device stops.</summary>
internal sealed class VsockProtocolException(string message) : Exception(message);
