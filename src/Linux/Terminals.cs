namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int TIOCSCTTY = 0x540e;
}
