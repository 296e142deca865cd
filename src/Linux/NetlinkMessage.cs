using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>
/// A request to the kernel's network configuration (rtnetlink(7)): struct nlmsghdr, a structure that its type tells, and
/// attributes, each struct rtattr and its value, filled up to four bytes. All numbers in the machine's order.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "a stream over memory owns nothing")]
public sealed class NetlinkMessage
{
    private readonly MemoryStream _bytes = new();

    /// <param name="operand">What it is about, for errors.</param>
    /// <param name="body">The structure after the header.</param>
    internal NetlinkMessage(ushort type, int flags, string operand, ReadOnlySpan<byte> body)
    {
        Operand = operand;
        Span<byte> header = stackalloc byte[Libc.NLMSG_HEADER];
        header.Clear();
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], type);
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], (ushort)(flags | Libc.NLM_F_REQUEST));
        _bytes.Write(header);
        _bytes.Write(body);
        Align();
    }

    public string Operand { get; }

    internal NetlinkMessage Add(int type, ReadOnlySpan<byte> value)
    {
        Span<byte> header = stackalloc byte[Libc.RTATTR_HEADER];
        BinaryPrimitives.WriteUInt16LittleEndian(header, checked((ushort)(header.Length + value.Length)));
        BinaryPrimitives.WriteUInt16LittleEndian(header[2..], (ushort)type);
        _bytes.Write(header);
        _bytes.Write(value);
        Align();
        return this;
    }

    internal NetlinkMessage Add(int type, uint value) => Add(type, BitConverter.GetBytes(value));

    /// <summary>With the zero at its end.</summary>
    internal NetlinkMessage Add(int type, string value) => Add(type, Encoding.UTF8.GetBytes(value + '\0'));

    internal NetlinkMessage AddIf(bool condition, int type, ReadOnlySpan<byte> value) => condition ? Add(type, value) : this;

    /// <summary>An attribute whose value is attributes, which the action adds.</summary>
    internal NetlinkMessage Nest(int type, Action<NetlinkMessage> add)
    {
        var start = (int)_bytes.Length;
        Add(type, []);
        add(this);
        BinaryPrimitives.WriteUInt16LittleEndian(_bytes.GetBuffer().AsSpan(start), checked((ushort)(_bytes.Length - start)));
        return this;
    }

    internal void AddFlags(int flags)
    {
        var field = _bytes.GetBuffer().AsSpan(6);
        BinaryPrimitives.WriteUInt16LittleEndian(field, (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(field) | flags));
    }

    /// <summary>The message as it is sent.</summary>
    internal ReadOnlySpan<byte> Finish(uint sequence)
    {
        var bytes = _bytes.GetBuffer().AsSpan(0, (int)_bytes.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes, bytes.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], sequence);
        return bytes;
    }

    private void Align()
    {
        while (_bytes.Length % 4 != 0)
            _bytes.WriteByte(0);
    }
}

/// <summary>A message of the kernel. Its bytes are checked as they are read: what is cut short ends the reading.</summary>
internal readonly ref struct NetlinkAnswer
{
    public ushort Type { get; private init; }

    public ushort Flags { get; private init; }

    public uint Sequence { get; private init; }

    public ReadOnlySpan<byte> Body { get; private init; }

    /// <summary>Takes one message off the front of a datagram; false: there is none, or it is longer than what is there.</summary>
    public static bool TryRead(ref ReadOnlySpan<byte> datagram, out NetlinkAnswer answer)
    {
        answer = default;
        if (datagram.Length < Libc.NLMSG_HEADER)
            return false;
        var length = BinaryPrimitives.ReadUInt32LittleEndian(datagram);
        if (length < Libc.NLMSG_HEADER || length > (uint)datagram.Length)
            return false;
        answer = new NetlinkAnswer
        {
            Type = BinaryPrimitives.ReadUInt16LittleEndian(datagram[4..]),
            Flags = BinaryPrimitives.ReadUInt16LittleEndian(datagram[6..]),
            Sequence = BinaryPrimitives.ReadUInt32LittleEndian(datagram[8..]),
            Body = datagram[Libc.NLMSG_HEADER..(int)length],
        };
        datagram = datagram[Math.Min(datagram.Length, ((int)length + 3) & ~3)..];
        return true;
    }

    /// <summary>The attributes after a structure of so many bytes; none where the body is shorter than that.</summary>
    public NetlinkAttributes After(int structure) => new(Body.Length < structure ? [] : Body[structure..]);
}

/// <summary>The attributes of a message, or those within one of them.</summary>
internal readonly ref struct NetlinkAttributes(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;

    /// <summary>The value of the first of a type, at least so long; empty: there is none.</summary>
    public ReadOnlySpan<byte> this[int type, int atLeast = 1]
    {
        get
        {
            for (var left = _bytes; left.Length >= Libc.RTATTR_HEADER;)
            {
                var length = BinaryPrimitives.ReadUInt16LittleEndian(left);
                if (length < Libc.RTATTR_HEADER || length > left.Length)
                    return [];
                if ((BinaryPrimitives.ReadUInt16LittleEndian(left[2..]) & Libc.NLA_TYPE_MASK) == type)
                    return length - Libc.RTATTR_HEADER >= atLeast ? left[Libc.RTATTR_HEADER..length] : [];
                left = left[Math.Min(left.Length, (length + 3) & ~3)..];
            }
            return [];
        }
    }

    public uint Number(int type, uint otherwise = 0) =>
        this[type, sizeof(uint)] is { Length: >= sizeof(uint) } value ? MemoryMarshal.Read<uint>(value) : otherwise;

    public string Text(int type) => this[type] is var value && value.IndexOf((byte)0) is >= 0 and var end
        ? Encoding.UTF8.GetString(value[..end]) : Encoding.UTF8.GetString(value);

    /// <summary>The attributes within one.</summary>
    public NetlinkAttributes Within(int type) => new(this[type]);
}

internal static unsafe partial class Libc
{
    internal const int NLM_F_REQUEST = 1, NLM_F_ACK = 4, NLM_F_DUMP_INTR = 0x10, NLM_F_DUMP = 0x300;
    internal const int NLM_F_REPLACE = 0x100, NLM_F_EXCL = 0x200, NLM_F_CREATE = 0x400, NLM_F_APPEND = 0x800;
    internal const int NLMSG_ERROR = 2, NLMSG_DONE = 3, NLA_TYPE_MASK = ~0xc000;

    /// <summary>sizeof(struct nlmsghdr), sizeof(struct rtattr).</summary>
    internal const int NLMSG_HEADER = 16, RTATTR_HEADER = 4;
}
