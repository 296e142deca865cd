using System.Buffers.Binary;
using System.Text;

namespace KataLike.Linux;

/// <summary>Network interfaces whose other side is a descriptor (tun(4)): they end with the last of their descriptors.</summary>
public static unsafe class Taps
{
    /// <summary>Makes one in the calling thread's network namespace.</summary>
    /// <param name="name">With %d, for which the kernel puts a number.</param>
    /// <param name="queues">How many descriptors it has.</param>
    public static (string Name, IReadOnlyList<FileDescriptor> Queues) Create(string name, int queues)
    {
        var files = new List<FileDescriptor>();
        try
        {
            for (var i = 0; i < queues; i++)
                name = Add(name, queues > 1, files);
            return (name, files);
        }
        catch
        {
            foreach (var file in files)
                file.Dispose();
            throw;
        }
    }

    private static string Add(string name, bool multiQueue, List<FileDescriptor> files)
    {
        var file = Files.Open("/dev/net/tun", Files.ReadWrite | Files.NonBlocking);
        files.Add(file);
        // struct ifreq: the name, and flags (2). Before each packet comes struct virtio_net_hdr: checksums and the cutting
        // of large packets are then left to whoever has the packet last.
        Span<byte> request = stackalloc byte[40];
        request.Clear();
        Encoding.ASCII.GetBytes(name, request[..(Libc.IFNAMSIZ - 1)]);
        var flags = Libc.IFF_TAP | Libc.IFF_NO_PI | Libc.IFF_VNET_HDR | (multiQueue ? Libc.IFF_MULTI_QUEUE : 0);
        BinaryPrimitives.WriteUInt16LittleEndian(request[Libc.IFNAMSIZ..], (ushort)flags);
        fixed (byte* pointer = request)
            Libc.Check(Libc.ioctl(file.Number, Libc.TUNSETIFF, pointer), "ioctl", $"TUNSETIFF {name}");
        var given = request[..Libc.IFNAMSIZ];
        return Encoding.ASCII.GetString(given[..given.IndexOf((byte)0)]);
    }
}

internal static unsafe partial class Libc
{
    internal const int IFNAMSIZ = 16, IFF_TAP = 2, IFF_NO_PI = 0x1000, IFF_VNET_HDR = 0x4000, IFF_MULTI_QUEUE = 0x100;
    internal const nuint TUNSETIFF = 0x400454ca;
}
