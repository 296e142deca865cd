using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace KataLike.Runtime.Shim;

/// <summary>
/// The first process of a pod's pid namespace where nobody brings an image with one (containerd's Sandbox API): it ignores SIGCHLD, so
/// that the kernel reaps what is left to it, and sleeps. A static ELF program of one segment, which needs no libraries.
/// </summary>
internal static class PauseProgram
{
    private const ulong Base = 0x400000;
    private const int HeaderSize = 64, SegmentSize = 56;

    private static ReadOnlySpan<byte> Code =>
    [
        0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x01, // push 0, 0, 0, 1: struct sigaction with SIG_IGN
        0x6a, 0x0d, 0x58,                               // rax = rt_sigaction
        0x6a, 0x11, 0x5f,                               // rdi = SIGCHLD
        0x48, 0x89, 0xe6,                               // rsi = rsp
        0x31, 0xd2,                                     // edx = 0
        0x6a, 0x08, 0x41, 0x5a,                         // r10 = 8
        0x0f, 0x05,                                     // syscall
        0x6a, 0x22, 0x58,                               // again: rax = pause
        0x0f, 0x05,                                     // syscall
        0xeb, 0xf9,                                     // jump to again
    ];

    /// <summary>Writes it, executable; nothing on another architecture, where a pod cannot share its processes by this API.</summary>
    public static void Write(string path)
    {
        if (RuntimeInformation.OSArchitecture != Architecture.X64)
            return;
        File.WriteAllBytes(path, Elf());
        File.SetUnixFileMode(path, (UnixFileMode)0x1ed /* 0755 */);
    }

    /// <summary>elf(5): Elf64_Ehdr, one Elf64_Phdr, the code.</summary>
    internal static byte[] Elf()
    {
        const short executable = 2, x64 = 62;
        const int load = 1, readExecute = 5, page = 0x1000;
        var program = new byte[HeaderSize + SegmentSize + Code.Length];
        var header = program.AsSpan();
        ((ReadOnlySpan<byte>)[0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1]).CopyTo(header);
        BinaryPrimitives.WriteInt16LittleEndian(header[16..], executable);
        BinaryPrimitives.WriteInt16LittleEndian(header[18..], x64);
        BinaryPrimitives.WriteInt32LittleEndian(header[20..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Base + HeaderSize + SegmentSize);
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
        Code.CopyTo(segment[SegmentSize..]);
        return program;
    }
}
