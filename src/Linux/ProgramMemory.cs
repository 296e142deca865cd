using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int MADV_DONTNEED = 4;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int madvise(nint address, nuint length, int advice);
}

/// <summary>The code and constants of this process: pages of files, of which the kernel maps more than are used (16 at a time).</summary>
public sealed class ProgramMemory
{
    private readonly List<MemoryArea> _areas;

    private ProgramMemory(List<MemoryArea> areas) => _areas = areas;

    /// <summary>
    /// By /proc/self/maps and pagemap: what nobody writes, and of which nothing was written before it became constant. Nothing where the kernel
    /// does not tell.
    /// </summary>
    public static ProgramMemory Find()
    {
        try
        {
            using var pages = new PageMap(Environment.ProcessId);
            return new ProgramMemory([.. MemoryArea.Of(Environment.ProcessId).Where(area => IsConstant(area) && !pages.Of(area).Any(page => page.Own))]);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return new ProgramMemory([]);
        }
    }

    private static bool IsConstant(MemoryArea area) =>
        area is { Shared: false, Inode: not 0 } && area.Protection != 0 && (area.Protection & Libc.PROT_WRITE) == 0;

    /// <summary>Lets go of them all: what is still used comes back from the file, and the rest is no longer this process's memory.</summary>
    public unsafe void Release()
    {
        // That it fails harms nobody.
        foreach (var area in _areas)
            _ = Libc.madvise((nint)area.Start, (nuint)area.Length, Libc.MADV_DONTNEED);
    }
}
