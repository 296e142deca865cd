using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>A mapping of a descriptor's first bytes, or of memory; unmapped when disposed.</summary>
public sealed unsafe class MappedMemory : SafeHandle
{
    private MappedMemory(nint address, ulong length) : base(-1, ownsHandle: true)
    {
        SetHandle(address);
        Length = length;
    }

    public override bool IsInvalid => handle == -1;

    public ulong Length { get; }

    public byte* Pointer => (byte*)handle;

    /// <summary>Some of the bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">They are not all in the mapping.</exception>
    public ReadOnlySpan<byte> Slice(ulong offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)length, Length - offset);
        // SAFETY: checked above.
        return new ReadOnlySpan<byte>(Pointer + offset, length);
    }

    /// <summary>Maps the first <paramref name="length"/> bytes, which the file must have: beyond its end is SIGBUS.</summary>
    public static MappedMemory Share(FileDescriptor descriptor, ulong length) =>
        Map(length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED | Libc.MAP_NORESERVE, descriptor.Number);

    /// <summary>The same for reading only.</summary>
    public static MappedMemory Read(FileDescriptor descriptor, ulong length) => Map(length, Libc.PROT_READ, Libc.MAP_SHARED, descriptor.Number);

    internal static MappedMemory Map(ulong length, int protection, int flags, int descriptor)
    {
        var address = Libc.mmap(0, (nuint)length, protection, flags, descriptor, 0);
        if (address == -1)
            throw new LinuxException(Libc.LastError, "mmap", $"{length} bytes");
        return new MappedMemory(address, length);
    }

    protected override bool ReleaseHandle() => Libc.munmap(handle, (nuint)Length) == 0;
}

/// <summary>Memory of this process and of files.</summary>
public static unsafe class Memory
{
    /// <summary>Fills so many bytes of memory that is free with zeroes, by taking them for a moment.</summary>
    public static void Clear(ulong length)
    {
        if (length > 0)
            MappedMemory.Map(length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS | Libc.MAP_POPULATE, -1).Dispose();
    }

    // Linux before 6.3 does not know it, and lets every such file be executed.
    private static uint Executable { get; } = Environment.OSVersion.Version >= new Version(6, 3) ? Libc.MFD_EXEC : 0;

    /// <summary>An unnamed file in memory of a size in bytes.</summary>
    /// <param name="executable">It may be a program's.</param>
    public static FileDescriptor CreateFile(string name, ulong size, bool executable = false)
    {
        fixed (byte* pointer = Encoding.UTF8.GetBytes(name + '\0'))
        {
            var descriptor = new FileDescriptor(
                Libc.Check(Libc.memfd_create(pointer, Libc.MFD_CLOEXEC | (executable ? Executable : 0)), "memfd_create", name));
            if (Libc.ftruncate(descriptor.Number, (long)size) == 0)
                return descriptor;
            var error = Libc.LastError;
            descriptor.Dispose();
            throw new LinuxException(error, "ftruncate", name);
        }
    }
}

internal static unsafe partial class Libc
{
    internal const uint MFD_CLOEXEC = 1, MFD_EXEC = 0x10;
    internal const int PROT_READ = 1, PROT_WRITE = 2, MAP_SHARED = 1, MAP_PRIVATE = 2;
    internal const int MAP_ANONYMOUS = 0x20, MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int memfd_create(byte* name, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int ftruncate(int fd, long length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint mmap(nint address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int munmap(nint address, nuint length);
}
