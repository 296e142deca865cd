using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    [LibraryImport("libc", SetLastError = true)]
    internal static partial int mkdir(byte* path, uint mode);
}

/// <summary>What .NET does not offer on directories.</summary>
public static unsafe class Directories
{
    /// <summary>Makes a directory; false if there is something of that name. So a name can be taken by one process only.</summary>
    public static bool TryMake(string path, uint mode)
    {
        fixed (byte* pointer = Encoding.UTF8.GetBytes(path + '\0'))
        {
            var result = Libc.mkdir(pointer, mode);
            if (result < 0 && Libc.LastError == Errno.EEXIST)
                return false;
            Libc.Check(result, "mkdir", path);
            return true;
        }
    }
}
