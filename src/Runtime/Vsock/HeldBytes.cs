using System.Runtime.InteropServices;
using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>The bytes that a sink refused so far: a ring of <see cref="Connection.BufferSize"/>, made when first needed.</summary>
internal sealed class HeldBytes
{
    private byte[]? ring;
    private int start;

    public int Count { get; private set; }

    /// <summary>Copies all of a payload in. The credit that the guest has keeps it within the ring.</summary>
    public void Add(VectorList payload)
    {
        ring ??= GC.AllocateUninitializedArray<byte>((int)Connection.BufferSize, pinned: true);
        while (payload.Bytes > 0)
        {
            var end = (start + Count) % ring.Length;
            var room = Math.Min(ring.Length - end, ring.Length - Count);
            if (room == 0)
                throw new VsockProtocolException("vsock: more bytes than the guest has credit for");
            var copied = payload.CopyTo(ring.AsSpan(end, room));
            payload.Skip((ulong)copied);
            Count += copied;
        }
    }

    /// <summary>The bytes in order, as one or two buffers.</summary>
    public int Describe(Span<IoVector> vectors)
    {
        if (ring is null || Count == 0)
            return 0;
        var address = Marshal.UnsafeAddrOfPinnedArrayElement(ring, 0);
        var first = Math.Min(Count, ring.Length - start);
        vectors[0] = new IoVector(address + start, first);
        if (first == Count)
            return 1;
        vectors[1] = new IoVector(address, Count - first);
        return 2;
    }

    public void Remove(int count)
    {
        start = (start + count) % (int)Connection.BufferSize;
        Count -= count;
    }

    public void Clear() => (ring, start, Count) = (null, 0, 0);
}
