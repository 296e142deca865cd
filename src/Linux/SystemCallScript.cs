using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>
/// System calls that a program of 180 bytes makes one after the other in a process that has nothing else, until that is another process.
/// x86-64 only.
/// </summary>
/// <remarks>
/// An entry is eleven words: the call's number, six arguments, the stack pointer that it is made with, the largest and the least result that
/// are right, and where the low half of the result is to be stored (0: nowhere). With another result the process exits, with the error's number as its status.
/// The child of clone(2) goes on with the entry that its new stack pointer names. After the entries, from the end downwards, is what they point to.
/// </remarks>
internal sealed class SystemCallScript
{
    /// <summary>From which the program reads the script, to its end.</summary>
    public const int Descriptor = 200;

    /// <summary>Of a script, bytes; and where it is in memory: lower than any program that was not linked for a fixed place.</summary>
    public const int Size = 1 << 18;
    public const ulong Base = 0x10000000;

    /// <summary>Before it is room for what the script's owner wants to find again, and the place of the data.</summary>
    public const int FirstEntry = 256;
    private const int DataField = 248;

    /// <summary>The length of the instruction that makes a call, bytes.</summary>
    public const int CallLength = 2;

    private const int EntrySize = 88, StackField = 56, MostField = 64, LeastField = 72, StoreField = 80;

    /// <summary>An entry as it is read again.</summary>
    public readonly ref struct Entry(Span<byte> bytes)
    {
        private readonly Span<byte> _bytes = bytes;

        public int Number => BinaryPrimitives.ReadInt32LittleEndian(_bytes);

        /// <param name="argument">0 to 5.</param>
        public ulong this[int argument]
        {
            get => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[(8 + argument * 8)..]);
            set => BinaryPrimitives.WriteUInt64LittleEndian(_bytes[(8 + argument * 8)..], value);
        }
    }

    private readonly byte[] _bytes;
    private readonly List<(int Clone, Action Entries)> _branches = [];
    private int _next, _data;

    public SystemCallScript() => (_bytes, _next, _data) = (new byte[Size], FirstEntry, Size);

    /// <summary>One that was finished, to be added to.</summary>
    public SystemCallScript(ReadOnlySpan<byte> finished)
    {
        _bytes = finished.ToArray();
        _next = PlaceOf(Count(finished));
        _data = BinaryPrimitives.ReadInt32LittleEndian(finished[DataField..]);
    }

    /// <summary>The program's instructions: map memory at Base, read the script into it, make the calls.</summary>
    public static ReadOnlySpan<byte> Program =>
    [
        0xb8, 0x09, 0x00, 0x00, 0x00,             // eax = mmap
        0xbf, 0x00, 0x00, 0x00, 0x10,             // edi = Base
        0xbe, 0x00, 0x00, 0x04, 0x00,             // esi = Size
        0xba, 0x03, 0x00, 0x00, 0x00,             // edx = PROT_READ | PROT_WRITE
        0x41, 0xba, 0x32, 0x00, 0x00, 0x00,       // r10d = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
        0x49, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, // r8 = -1
        0x45, 0x31, 0xc9,                         // r9d = 0
        0x0f, 0x05,                               // syscall
        0x89, 0xc3,                               // ebx = eax
        0x41, 0x89, 0xc4,                         // r12d = eax
        // read:
        0x31, 0xc0,                               // eax = read
        0xbf, 0xc8, 0x00, 0x00, 0x00,             // edi = Descriptor
        0x4c, 0x89, 0xe6,                         // rsi = r12
        0xba, 0x00, 0x00, 0x04, 0x00,             // edx = Size
        0x0f, 0x05,                               // syscall
        0x48, 0x85, 0xc0,                         // rax?
        0x78, 0x68,                               // below 0: fail
        0x74, 0x05,                               // 0: begin
        0x49, 0x01, 0xc4,                         // r12 += rax
        0xeb, 0xe3,                               // to read
        // begin:
        0x4c, 0x8d, 0xa3, 0x00, 0x01, 0x00, 0x00, // r12 = rbx + FirstEntry
        // next:
        0x49, 0x8b, 0x04, 0x24,                   // rax = the number
        0x49, 0x8b, 0x7c, 0x24, 0x08,             // rdi, rsi, rdx, r10, r8, r9 = the arguments
        0x49, 0x8b, 0x74, 0x24, 0x10,
        0x49, 0x8b, 0x54, 0x24, 0x18,
        0x4d, 0x8b, 0x54, 0x24, 0x20,
        0x4d, 0x8b, 0x44, 0x24, 0x28,
        0x4d, 0x8b, 0x4c, 0x24, 0x30,
        0x49, 0x8b, 0x64, 0x24, 0x38,             // rsp = the stack
        0x0f, 0x05,                               // syscall
        0x41, 0x83, 0x3c, 0x24, 0x38,             // is it clone?
        0x75, 0x0a,                               // no: check
        0x48, 0x85, 0xc0,                         // rax?
        0x75, 0x05,                               // not 0, the parent: check
        0x49, 0x89, 0xe4,                         // r12 = rsp
        0xeb, 0xc6,                               // to next
        // check:
        0x49, 0x3b, 0x44, 0x24, 0x40,             // rax and the most
        0x7f, 0x19,                               // greater: fail
        0x49, 0x3b, 0x44, 0x24, 0x48,             // rax and the least
        0x7c, 0x12,                               // less: fail
        0x49, 0x8b, 0x4c, 0x24, 0x50,             // rcx = where to store
        0x49, 0x83, 0xc4, 0x58,                   // r12 += EntrySize
        0x48, 0x85, 0xc9,                         // rcx?
        0x74, 0xaa,                               // 0: to next
        0x89, 0x01,                               // [rcx] = eax
        0xeb, 0xa6,                               // to next
        // fail:
        0x89, 0xc7,                               // edi = eax
        0xf7, 0xdf,                               // edi = -edi
        0xb8, 0xe7, 0x00, 0x00, 0x00,             // eax = exit_group
        0x0f, 0x05,                               // syscall
    ];

    /// <summary>The first bytes, for the owner.</summary>
    public Span<byte> Head => _bytes.AsSpan(0, DataField);

    /// <summary>How many entries there are.</summary>
    public int Length => (_next - FirstEntry) / EntrySize;

    /// <summary>Adds data; its address in the process.</summary>
    /// <exception cref="InvalidDataException">The script is full.</exception>
    public ulong Place(ReadOnlySpan<byte> data, int alignment = 8)
    {
        _data = (_data - data.Length) & -alignment;
        Check();
        data.CopyTo(_bytes.AsSpan(_data));
        return Base + (ulong)_data;
    }

    public ulong Place(params ReadOnlySpan<ulong> words) => Place(MemoryMarshal.AsBytes(words));

    /// <summary>A text that ends with a zero.</summary>
    public ulong Place(string text) => Place(System.Text.Encoding.UTF8.GetBytes(text + '\0'));

    /// <summary>A call that must succeed.</summary>
    public void Call(int number, params ReadOnlySpan<ulong> arguments) => Add(number, arguments, 0, long.MaxValue);

    /// <summary>A call whose result is known.</summary>
    public void Expect(ulong result, int number, params ReadOnlySpan<ulong> arguments) => Add(number, arguments, (long)result, (long)result);

    /// <summary>A call that may fail.</summary>
    public void Try(int number, params ReadOnlySpan<ulong> arguments) => Add(number, arguments, long.MinValue, long.MaxValue);

    /// <summary>A call whose result, an int, is stored.</summary>
    public void Store(ulong place, int number, params ReadOnlySpan<ulong> arguments) => Add(number, arguments, 0, long.MaxValue, store: place);

    /// <summary>A call that takes what it needs from the stack.</summary>
    public void CallOn(ulong stack, int number) => Add(number, [], 0, 0, stack);

    /// <summary>A thread, and what it does; the second argument of clone(2) is filled in.</summary>
    public void Branch(ulong flags, ulong threadId, ulong threadStorage, Action entries)
    {
        _branches.Add((_next, entries));
        Add(Libc.SYS_clone, [flags, 0, 0, threadId, threadStorage], 1, long.MaxValue);
    }

    /// <summary>Ends the first thread's entries.</summary>
    public byte[] Finish()
    {
        foreach (var (clone, entries) in _branches)
        {
            _ = new Entry(_bytes.AsSpan(clone)) { [1] = Base + (ulong)_next };
            entries();
        }
        BinaryPrimitives.WriteInt32LittleEndian(_bytes.AsSpan(DataField), _data);
        return _bytes;
    }

    /// <summary>Adds entries in front of one that is there.</summary>
    /// <exception cref="InvalidDataException">The script is full.</exception>
    public void Insert(int index, Action entries)
    {
        var (place, end) = (PlaceOf(index), _next);
        entries();
        var added = _bytes[end.._next];
        _bytes.AsSpan(place, end - place).CopyTo(_bytes.AsSpan(place + added.Length));
        added.CopyTo(_bytes, place);
        for (var i = 0; i < Length; i++)
        {
            var entry = At(_bytes, i);
            if (entry.Number == Libc.SYS_clone && entry[1] >= Base + (ulong)place)
                entry[1] += (ulong)added.Length;
        }
    }

    private void Add(int number, ReadOnlySpan<ulong> arguments, long least, long most, ulong stack = 0, ulong store = 0)
    {
        var bytes = _bytes.AsSpan(_next, EntrySize);
        _next += EntrySize;
        Check();
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        var entry = new Entry(bytes);
        for (var i = 0; i < arguments.Length; i++)
            entry[i] = arguments[i];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[StackField..], stack);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[MostField..], most);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[LeastField..], least);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[StoreField..], store);
    }

    // The entry after the last one is all zero, so that whoever reads them finds their end.
    private void Check()
    {
        if (_next + EntrySize > _data)
            throw new InvalidDataException("it would need too many system calls");
    }

    /// <summary>The number of entries of a script.</summary>
    public static int Count(ReadOnlySpan<byte> script)
    {
        var count = 0;
        while (PlaceOf(count + 1) <= script.Length && script.Slice(PlaceOf(count), EntrySize).ContainsAnyExcept((byte)0))
            count++;
        return count;
    }

    public static Entry At(Span<byte> script, int index) => new(script.Slice(PlaceOf(index), EntrySize));

    private static int PlaceOf(int index) => FirstEntry + index * EntrySize;
}
