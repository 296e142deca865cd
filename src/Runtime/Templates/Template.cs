using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using KataLike.Linux;

namespace KataLike.Runtime.Templates;

/// <summary>A saved machine in one file: what it was made of, QEMU's state, and those pages of its memory that are not zero.</summary>
/// <remarks>
/// All numbers are little endian. At 0 the words "KATATPL3" (8 bytes), then XXH3 of all that follows it up to the pages (u64), the length of the key
/// in bytes (u32), the number of extents (u32), the memory's size in MiB (u64), the state's place and length (u64, u64), the pages' place (u64),
/// XXH3 of the pages (u64). Then the key (UTF-8), and the extents: first page and number of pages (u32, u32), in rising order. State and pages
/// begin at multiples of the page size.
/// </remarks>
internal sealed class Template : IDisposable
{
    private const int PageSize = 4096, HeaderSize = 64, SummedFrom = 16, Chunk = 1 << 18;

    private static ReadOnlySpan<byte> Magic => "KATATPL3"u8;

    private readonly FileDescriptor _file;
    private readonly MappedMemory _bytes;
    private readonly (uint First, uint Count)[] _extents;
    private readonly ulong _pages;

    private Template(FileDescriptor file, MappedMemory bytes)
    {
        (_file, _bytes) = (file, bytes);
        var header = bytes.Slice(0, HeaderSize);
        if (!header.StartsWith(Magic))
            throw new InvalidDataException("not a template");
        var (keyLength, extents) = (BinaryPrimitives.ReadUInt32LittleEndian(header[16..]), BinaryPrimitives.ReadUInt32LittleEndian(header[20..]));
        MemoryMib = (int)BinaryPrimitives.ReadUInt64LittleEndian(header[24..]);
        StateOffset = (long)BinaryPrimitives.ReadUInt64LittleEndian(header[32..]);
        _pages = BinaryPrimitives.ReadUInt64LittleEndian(header[48..]);
        var table = bytes.Slice(HeaderSize, checked((int)(keyLength + extents * 8)));
        Key = Encoding.UTF8.GetString(table[..(int)keyLength]);
        _extents = new (uint, uint)[extents];
        for (var i = 0; i < _extents.Length; i++)
        {
            var extent = table[((int)keyLength + i * 8)..];
            _extents[i] = (BinaryPrimitives.ReadUInt32LittleEndian(extent), BinaryPrimitives.ReadUInt32LittleEndian(extent[4..]));
        }
    }

    /// <summary>What the machine was made of: another one fits no copy.</summary>
    public string Key { get; }

    public int MemoryMib { get; }

    private long StateOffset { get; }

    /// <exception cref="InvalidDataException">Not a template.</exception>
    public static Template Open(FileDescriptor file)
    {
        if (Files.Status(file).Size is var size && size < HeaderSize)
            throw new InvalidDataException("not a template");
        var bytes = MappedMemory.Read(file, size);
        try
        {
            return new Template(file, bytes);
        }
        catch (Exception error) when (error is ArgumentException or OverflowException)
        {
            bytes.Dispose();
            throw new InvalidDataException("not a template", error);
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }

    /// <summary>The state, where QEMU begins to read it.</summary>
    public FileDescriptor OpenState()
    {
        var state = Files.Reopen(_file, Files.ReadOnly);
        Files.Seek(state, StateOffset);
        return state;
    }

    /// <summary>Of a state that is a process: whether it was saved on this host as it is now.</summary>
    public bool FitsHost => ProcessImage.Fits(ProcessHead);

    /// <summary>Of the same: whether there was anything to be saved.</summary>
    public bool HasProcess => !ProcessImage.IsEmpty(ProcessHead);

    private ReadOnlySpan<byte> ProcessHead =>
        (ulong)StateOffset <= _bytes.Length && _bytes.Length - (ulong)StateOffset >= ProcessImage.HeadSize
            ? _bytes.Slice((ulong)StateOffset, ProcessImage.HeadSize) : default;

    /// <summary>Starts a copy of the process whose state this is.</summary>
    /// <exception cref="InvalidDataException">It is of another kernel.</exception>
    public ChildProcess StartProcess(ProcessStart start, Func<ProcessStart, ChildProcess> launch) =>
        ProcessImage.Start(start, launch, _file, StateOffset, ProcessHead);

    /// <summary>Fills a new machine's memory.</summary>
    /// <exception cref="InvalidDataException">The file is not what was saved.</exception>
    public void CopyMemory(FileDescriptor memory)
    {
        if (_pages is < HeaderSize or > int.MaxValue || _pages > _bytes.Length)
            throw new InvalidDataException("damaged: its pages begin beyond the file");
        var rest = Task.Run(() => XxHash3.HashToUInt64(_bytes.Slice(SummedFrom, (int)_pages - SummedFrom)));
        try
        {
            CopyPages(memory);
        }
        finally
        {
            rest.Wait();
        }
        if (rest.Result != BinaryPrimitives.ReadUInt64LittleEndian(_bytes.Slice(8, 8)))
            throw Damaged;
    }

    private static InvalidDataException Damaged => new("damaged: its checksum is wrong");

    private void CopyPages(FileDescriptor memory)
    {
        var sum = new XxHash3();
        var place = _pages;
        foreach (var (first, count) in _extents)
        {
            var end = checked((long)(first + (ulong)count) * PageSize);
            if (end > (long)MemoryMib << 20 || place + (ulong)count * PageSize > _bytes.Length)
                throw new InvalidDataException("damaged: pages beyond the memory, or beyond the file");
            for (var to = (long)first * PageSize; to < end;)
            {
                var piece = _bytes.Slice(place, (int)Math.Min(Chunk, end - to));
                sum.Append(piece);
                Files.WriteAt(memory, to, piece);
                (to, place) = (to + piece.Length, place + (ulong)piece.Length);
            }
        }
        if (place != _bytes.Length || sum.GetCurrentHashAsUInt64() != BinaryPrimitives.ReadUInt64LittleEndian(_bytes.Slice(56, 8)))
            throw Damaged;
    }

    /// <summary>Writes a saved machine to a file.</summary>
    /// <param name="memory">Null: nothing was saved.</param>
    /// <param name="elsewhere">Parts of the memory that the state has: first byte and length, in whole pages.</param>
    public static void Write(
        Stream file, string key, ReadOnlySpan<byte> state, MappedMemory? memory, params IReadOnlyList<(ulong Start, ulong Length)> elsewhere)
    {
        var extents = memory is null ? [] : Extents(memory, elsewhere);
        var keyBytes = Encoding.UTF8.GetBytes(key);
        var stateOffset = RoundUp(HeaderSize + keyBytes.Length + extents.Count * 8L);
        var pages = RoundUp(stateOffset + state.Length);
        var head = new byte[stateOffset];
        Magic.CopyTo(head);
        BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(16), (uint)keyBytes.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(20), (uint)extents.Count);
        BinaryPrimitives.WriteUInt64LittleEndian(head.AsSpan(24), (memory?.Length ?? 0) >> 20);
        BinaryPrimitives.WriteUInt64LittleEndian(head.AsSpan(32), (ulong)stateOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(head.AsSpan(40), (ulong)state.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(head.AsSpan(48), (ulong)pages);
        keyBytes.CopyTo(head, HeaderSize);
        for (var i = 0; i < extents.Count; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(HeaderSize + keyBytes.Length + i * 8), extents[i].First);
            BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(HeaderSize + keyBytes.Length + i * 8 + 4), extents[i].Count);
        }
        var padding = new byte[pages - stateOffset - state.Length];
        var sum = new XxHash3();
        file.Write(head);
        file.Write(state);
        file.Write(padding);
        foreach (var (first, count) in extents)
        {
            var bytes = memory!.Slice((ulong)first * PageSize, checked((int)(count * PageSize)));
            sum.Append(bytes);
            file.Write(bytes);
        }
        BinaryPrimitives.WriteUInt64LittleEndian(head.AsSpan(56), sum.GetCurrentHashAsUInt64());
        sum.Reset();
        sum.Append(head.AsSpan(SummedFrom));
        sum.Append(state);
        sum.Append(padding);
        BinaryPrimitives.WriteUInt64LittleEndian(head.AsSpan(8), sum.GetCurrentHashAsUInt64());
        file.Position = 0;
        file.Write(head);
    }

    private static List<(uint First, uint Count)> Extents(MappedMemory memory, IReadOnlyList<(ulong Start, ulong Length)> elsewhere)
    {
        var extents = new List<(uint First, uint Count)>();
        for (uint page = 0; page < memory.Length / PageSize; page++)
        {
            var place = (ulong)page * PageSize;
            if (!memory.Slice(place, PageSize).ContainsAnyExcept((byte)0) || elsewhere.Any(part => place >= part.Start && place - part.Start < part.Length))
                continue;
            if (extents.Count > 0 && extents[^1] is var last && last.First + last.Count == page)
                extents[^1] = (last.First, last.Count + 1);
            else
                extents.Add((page, 1));
        }
        return extents;
    }

    private static long RoundUp(long length) => (length + PageSize - 1) / PageSize * PageSize;

    public void Dispose()
    {
        _bytes.Dispose();
        _file.Dispose();
    }
}
