using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace KataLike.Linux;

/// <summary>Programs of a few instructions, which need no libraries: a static ELF file of one segment.</summary>
public static class StaticProgram
{
    internal const int Base = 0x400000;

    /// <summary>Where the first instruction is in memory.</summary>
    internal const int Entry = Base + HeaderSize + SegmentSize;

    private const int HeaderSize = 64, SegmentSize = 56;
    private const UnixFileMode Executable = (UnixFileMode)0x1ed; // 0755

    /// <summary>Writes it.</summary>
    /// <param name="code">x86-64, run from its first byte.</param>
    /// <returns>False: this is another architecture, and nothing was written.</returns>
    [UnsupportedOSPlatform("windows")]
    public static bool Write(string path, ReadOnlySpan<byte> code)
    {
        if (RuntimeInformation.OSArchitecture != Architecture.X64)
            return false;
        File.WriteAllBytes(path, Elf(code));
        File.SetUnixFileMode(path, Executable);
        return true;
    }

    /// <summary>elf(5): Elf64_Ehdr, one Elf64_Phdr, the code.</summary>
    internal static byte[] Elf(ReadOnlySpan<byte> code)
    {
        const short executable = 2, x64 = 62;
        const int load = 1, readExecute = 5, page = 0x1000;
        var program = new byte[HeaderSize + SegmentSize + code.Length];
        var header = program.AsSpan();
        ((ReadOnlySpan<byte>)[0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1]).CopyTo(header);
        BinaryPrimitives.WriteInt16LittleEndian(header[16..], executable);
        BinaryPrimitives.WriteInt16LittleEndian(header[18..], x64);
        BinaryPrimitives.WriteInt32LittleEndian(header[20..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Entry);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], HeaderSize);
        BinaryPrimitives.WriteInt16LittleEndian(header[52..], HeaderSize);
        BinaryPrimitives.WriteInt16LittleEndian(header[54..], SegmentSize);
        BinaryPrimitives.WriteInt16LittleEndian(header[56..], 1);
        var segment = header[HeaderSize..];
        BinaryPrimitives.WriteInt32LittleEndian(segment, load);
        BinaryPrimitives.WriteInt32LittleEndian(segment[4..], readExecute);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[16..], Base);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[24..], Base);
        BinaryPrimitives.WriteInt64LittleEndian(segment[32..], program.Length);
        BinaryPrimitives.WriteInt64LittleEndian(segment[40..], program.Length);
        BinaryPrimitives.WriteInt64LittleEndian(segment[48..], page);
        code.CopyTo(segment[SegmentSize..]);
        return program;
    }
}
