using System.Buffers.Binary;
using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>The requests of the front end (QEMU) that are known here (VHOST_USER_*).</summary>
internal enum VhostUserRequest : uint
{
    GetFeatures = 1,
    SetFeatures = 2,
    SetOwner = 3,
    ResetOwner = 4,
    SetMemoryTable = 5,
    SetVringSize = 8,
    SetVringAddresses = 9,
    SetVringBase = 10,
    GetVringBase = 11,
    SetVringKick = 12,
    SetVringCall = 13,
    SetVringError = 14,
    GetProtocolFeatures = 15,
    SetProtocolFeatures = 16,
    GetQueueCount = 17,
    SetVringEnable = 18,
    GetConfig = 24,
}

/// <summary>One message: request, flags, payload, and the descriptors that came with it, which are to be disposed.</summary>
internal sealed record VhostUserMessage(VhostUserRequest Request, uint Flags, byte[] Payload, List<FileDescriptor> Files)
    : IDisposable
{
    public const int HeaderSize = 12;
    public const int MaxPayload = 512;

    public const uint Version = 1, VersionMask = 3, ReplyFlag = 4, NeedReplyFlag = 8;

    public bool NeedsReply => (Flags & NeedReplyFlag) != 0;

    public static byte[] Reply(VhostUserRequest request, ReadOnlySpan<byte> payload)
    {
        var message = new byte[HeaderSize + payload.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)request);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), Version | ReplyFlag);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), (uint)payload.Length);
        payload.CopyTo(message.AsSpan(HeaderSize));
        return message;
    }

    public void Dispose()
    {
        foreach (var file in Files)
            file.Dispose();
    }
}

/// <summary>Cuts the front end's byte stream into messages; never asks for bytes beyond the message at hand, so that descriptors stay with theirs.</summary>
internal sealed class VhostUserReader : IDisposable
{
    private readonly byte[] buffer = new byte[VhostUserMessage.HeaderSize + VhostUserMessage.MaxPayload];
    private List<FileDescriptor> files = [];
    private int filled;

    /// <summary>Where descriptors that arrive with the bytes go.</summary>
    public ICollection<FileDescriptor> Files => files;

    /// <summary>Where the message's next bytes go; never empty.</summary>
    public Memory<byte> Missing => buffer.AsMemory(filled, Wanted - filled);

    private int Wanted => filled < VhostUserMessage.HeaderSize
        ? VhostUserMessage.HeaderSize
        : VhostUserMessage.HeaderSize + (int)BinaryPrimitives.ReadUInt32LittleEndian(buffer.AsSpan(8));

    /// <summary>Counts bytes in that were put into <see cref="Missing"/>; answers a message once it is complete.</summary>
    public VhostUserMessage? Advance(int count)
    {
        filled += count;
        if (files.Count > UnixSockets.MaxDescriptors)
            throw new VsockProtocolException($"vhost-user: {files.Count} descriptors in one message");
        if (filled < VhostUserMessage.HeaderSize)
            return null;
        var flags = BinaryPrimitives.ReadUInt32LittleEndian(buffer.AsSpan(4));
        var size = BinaryPrimitives.ReadUInt32LittleEndian(buffer.AsSpan(8));
        if ((flags & VhostUserMessage.VersionMask) != VhostUserMessage.Version)
            throw new VsockProtocolException($"vhost-user: unknown version in flags 0x{flags:x}");
        if (size > VhostUserMessage.MaxPayload)
            throw new VsockProtocolException($"vhost-user: payload of {size} bytes");
        if (filled < Wanted)
            return null;
        var message = new VhostUserMessage(
            (VhostUserRequest)BinaryPrimitives.ReadUInt32LittleEndian(buffer), flags,
            buffer.AsSpan(VhostUserMessage.HeaderSize, (int)size).ToArray(), files);
        (files, filled) = ([], 0);
        return message;
    }

    public void Dispose()
    {
        foreach (var file in files)
            file.Dispose();
    }
}
