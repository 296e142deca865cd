using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>A bounded list of buffers in the guest's memory; what one readv or writev takes.</summary>
internal sealed unsafe class VectorList
{
    /// <summary>IOV_MAX, and more than any queue here has entries.</summary>
    public const int Capacity = 1024;

    private readonly IoVector[] vectors = new IoVector[Capacity];
    private int first;
    private int end;

    /// <summary>The sum of the lengths, in bytes.</summary>
    public ulong Bytes { get; private set; }

    public ReadOnlySpan<IoVector> Vectors => vectors.AsSpan(first, end - first);

    public void Clear()
    {
        first = end = 0;
        Bytes = 0;
    }

    /// <summary>Adds a buffer; false when the list is full.</summary>
    public bool TryAdd(byte* address, uint length)
    {
        if (end == Capacity)
            return false;
        vectors[end++] = new IoVector((nint)address, (nint)length);
        Bytes += length;
        return true;
    }

    /// <summary>Drops bytes from the front, at most <see cref="Bytes"/>.</summary>
    public void Skip(ulong count)
    {
        Bytes -= count;
        while (count > 0)
        {
            var vector = vectors[first];
            if (count < (ulong)vector.Length)
            {
                vectors[first] = new IoVector(vector.Base + (nint)count, vector.Length - (nint)count);
                return;
            }

            count -= (ulong)vector.Length;
            first++;
        }
    }

    /// <summary>Drops bytes from the end, so that at most so many remain.</summary>
    public void Limit(ulong count)
    {
        while (Bytes > count)
        {
            var vector = vectors[end - 1];
            var keep = Math.Max((long)vector.Length - (long)(Bytes - count), 0);
            Bytes -= (ulong)(vector.Length - keep);
            if (keep == 0)
                end--;
            else
                vectors[end - 1] = new IoVector(vector.Base, (nint)keep);
        }
    }

    /// <summary>Copies from the front without dropping; answers how many bytes there were.</summary>
    public int CopyTo(Span<byte> destination)
    {
        var done = 0;
        foreach (var vector in Vectors)
        {
            var count = (int)Math.Min(vector.Length, destination.Length - done);
            // SAFETY: each vector was checked against the guest's memory when it was added.
            new ReadOnlySpan<byte>((void*)vector.Base, count).CopyTo(destination[done..]);
            done += count;
            if (done == destination.Length)
                break;
        }

        return done;
    }

    /// <summary>Drops bytes from the front and remembers where they are; answers the number of buffers used.</summary>
    public int Take(uint count, Span<IoVector> taken)
    {
        var used = 0;
        for (var left = count; left > 0;)
        {
            var vector = vectors[first];
            var part = (uint)Math.Min(vector.Length, left);
            taken[used++] = new IoVector(vector.Base, (nint)part);
            Skip(part);
            left -= part;
        }

        return used;
    }

    /// <summary>Writes bytes over buffers that <see cref="Take"/> gave.</summary>
    public static void Scatter(ReadOnlySpan<byte> source, ReadOnlySpan<IoVector> buffers)
    {
        foreach (var vector in buffers)
        {
            var count = (int)Math.Min(vector.Length, source.Length);
            // SAFETY: as above.
            source[..count].CopyTo(new Span<byte>((void*)vector.Base, count));
            source = source[count..];
        }
    }
}
