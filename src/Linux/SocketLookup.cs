using System.Buffers.Binary;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int BPF_MAP_CREATE = 0, BPF_MAP_UPDATE_ELEM = 2, BPF_LINK_CREATE = 28;
    internal const int BPF_MAP_TYPE_SOCKMAP = 15, BPF_PROG_TYPE_SK_LOOKUP = 30, BPF_SK_LOOKUP = 36;

    /// <summary>union bpf_attr for BPF_MAP_CREATE.</summary>
    internal struct bpf_map_create
    {
        internal uint map_type, key_size, value_size, max_entries;
    }

    /// <summary>union bpf_attr for BPF_MAP_UPDATE_ELEM.</summary>
    internal struct bpf_map_update
    {
        internal ulong map_fd, key, value, flags;
    }

    /// <summary>union bpf_attr for BPF_LINK_CREATE.</summary>
    internal struct bpf_link_create
    {
        internal uint prog_fd, target_fd, attach_type, flags;
    }
}

/// <summary>
/// Gives one listening socket every TCP connection that is made to a loopback address of a network namespace, whatever its port
/// (a BPF program of type sk_lookup). The accepted socket's local address is the one that was dialled.
/// </summary>
public static unsafe class SocketLookup
{
    // struct bpf_sk_lookup
    private const short Family = 8, Protocol = 12, LocalIp4 = 40, LocalIp6 = 44;
    private const int MapLookup = 1, Release = 86, Assign = 124, Tcp = 6, Inet = 2;

    /// <returns>It lasts as long as this descriptor.</returns>
    /// <exception cref="LinuxException">The kernel has no such programs (before 5.9), or does not allow this one.</exception>
    public static FileDescriptor Attach(FileDescriptor space, FileDescriptor listener)
    {
        var create = new Libc.bpf_map_create { map_type = Libc.BPF_MAP_TYPE_SOCKMAP, key_size = 4, value_size = 8, max_entries = 1 };
        using var map = new FileDescriptor((int)Bpf(Libc.BPF_MAP_CREATE, &create, sizeof(Libc.bpf_map_create), "socket map"));
        uint key = 0;
        var value = (ulong)listener.Number;
        var update = new Libc.bpf_map_update { map_fd = (uint)map.Number, key = (ulong)&key, value = (ulong)&value };
        // SAFETY: key and value are of the sizes that the map was made with.
        Bpf(Libc.BPF_MAP_UPDATE_ELEM, &update, sizeof(Libc.bpf_map_update), "listening socket");
        using var program = Load(Program(map.Number));
        var link = new Libc.bpf_link_create { prog_fd = (uint)program.Number, target_fd = (uint)space.Number, attach_type = Libc.BPF_SK_LOOKUP };
        return new FileDescriptor((int)Bpf(Libc.BPF_LINK_CREATE, &link, sizeof(Libc.bpf_link_create), "network namespace"));
    }

    private static FileDescriptor Load(ReadOnlySpan<ulong> instructions)
    {
        fixed (ulong* first = instructions)
        fixed (byte* license = "Apache\0"u8)
        {
            // SAFETY: the kernel reads insn_cnt instructions, which the span holds.
            var load = new Libc.bpf_prog_load
            {
                prog_type = Libc.BPF_PROG_TYPE_SK_LOOKUP,
                insn_cnt = (uint)instructions.Length,
                insns = (ulong)first,
                license = (ulong)license,
                expected_attach_type = Libc.BPF_SK_LOOKUP,
            };
            return new FileDescriptor((int)Bpf(Libc.BPF_PROG_LOAD, &load, sizeof(Libc.bpf_prog_load), "sk_lookup program"));
        }
    }

    /// <summary>Takes TCP to 127.0.0.0/8 and ::1, and lets all else find its socket as ever.</summary>
    private static ulong[] Program(int map)
    {
        const int found = 17, pass = 31;
        var code = new List<ulong>();
        void Add(byte operation, int destination = 0, int source = 0, int offset = 0, int immediate = 0) => code.Add(
            operation | (ulong)(uint)(destination | source << 4) << 8 | (ulong)(ushort)offset << 16 | (ulong)(uint)immediate << 32);
        void Field(short offset) => Add(0x61, 1, 6, offset);                                    // r1 = word of the context
        void UnlessEqual(int value, int target) => Add(0x55, 1, 0, target - code.Count - 1, value);
        void Move(int to, int from) => Add(0xbf, to, from);

        Move(6, 1);
        Field(Protocol);
        UnlessEqual(Tcp, pass);
        Field(Family);
        UnlessEqual(Inet, 9);
        Field(LocalIp4);                                                                        // in network order
        Add(0x57, 1, immediate: 0xff);
        UnlessEqual(127, pass);
        Add(0x05, offset: found - code.Count - 1);
        for (short word = 0; word < 4; word++)
        {
            Field((short)(LocalIp6 + 4 * word));
            UnlessEqual(word < 3 ? 0 : BinaryPrimitives.ReverseEndianness(1), pass);
        }
        Add(0x62, 10, offset: -4);                                                              // the key, on the stack
        Move(2, 10);
        Add(0x07, 2, immediate: -4);
        Add(0x18, 1, 1, immediate: map);
        Add(0);
        Add(0x85, immediate: MapLookup);
        Add(0x15, 0, 0, pass - code.Count - 1);
        Move(7, 0);
        Move(1, 6);
        Move(2, 7);
        Add(0xb7, 3);
        Add(0x85, immediate: Assign);
        Move(1, 7);
        Add(0x85, immediate: Release);
        Add(0xb7, 0, immediate: 1);                                                             // SK_PASS
        Add(0x95);
        return [.. code];
    }

    private static nint Bpf(int command, void* attributes, int size, string what) =>
        Libc.Check(Libc.syscall(Libc.SYS_bpf, command, (nint)attributes, size), "bpf", what);
}
