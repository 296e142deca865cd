namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_getrandom = 318;
}

/// <summary>
/// The kernel's random numbers, good enough for keys (getrandom(2)). .NET's own come from OpenSSL, of which each sandbox process would keep
/// 3.4 MiB for a few bytes.
/// </summary>
public static unsafe class RandomBytes
{
    /// <param name="count">At most 256: so many come whole.</param>
    public static byte[] Get(int count)
    {
        const int most = 256;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, most);
        var bytes = new byte[count];
        fixed (byte* pointer = bytes)
            Libc.Check(Libc.syscall(Libc.SYS_getrandom, (nint)pointer, count, 0, 0), "getrandom", $"{count} bytes");
        return bytes;
    }

    /// <param name="least">At least 0.</param>
    /// <param name="end">Above all that are possible.</param>
    public static uint Between(int least, int end) => (uint)least + (uint)(BitConverter.ToUInt64(Get(sizeof(ulong))) % (uint)(end - least));
}
