using KataLike.Linux;

namespace KataLike.Runtime.Shim;

/// <summary>
/// The first process of a pod's pid namespace where nobody brings an image with one (containerd's Sandbox API): it ignores SIGCHLD, so
/// that the kernel reaps what is left to it, and sleeps.
/// </summary>
internal static class PauseProgram
{
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

    /// <summary>Writes it; nothing on another architecture, where a pod cannot share its processes by this API.</summary>
    public static void Write(string path) => StaticProgram.Write(path, Code);
}
