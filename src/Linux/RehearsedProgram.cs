using System.Buffers.Binary;
using System.Runtime.Versioning;
using System.Text;

namespace KataLike.Linux;

/// <summary>
/// What programs usually do before they do anything of their own, as a <see cref="StaticProgram"/> of x86-64: memory, files, clocks, streams,
/// a child. Where a processor is emulated, the kernel's part in that has been translated when it has run.
/// </summary>
/// <remarks>Nothing looks at a result: what the kernel refuses has been tried, too.</remarks>
public static class RehearsedProgram
{
    // An entry of the table is a system call and six arguments; or one of these two, the first page and how many.
    private const long Read = -2, Write = -1;

    private const int Pages = 24, PageSize = 4096;
    private const long Program = StaticProgram.Base, Data = 0x10000000, Buffer = Data + 2 * PageSize, Mapped = 0x20000000;

    /// <summary>Makes the calls of the table behind it. A child, which fork(2) tells that it is one, exits.</summary>
    private static ReadOnlySpan<byte> Code =>
    [
        0x48, 0x8d, 0x1d, 0x65, 0x00, 0x00, 0x00, // rbx = the table
        // next:
        0x48, 0x8b, 0x03,                         // rax = the number
        0x48, 0x8b, 0x7b, 0x08,                   // rdi, rsi, rdx, r10, r8, r9 = the arguments
        0x48, 0x8b, 0x73, 0x10,
        0x48, 0x8b, 0x53, 0x18,
        0x4c, 0x8b, 0x53, 0x20,
        0x4c, 0x8b, 0x43, 0x28,
        0x4c, 0x8b, 0x4b, 0x30,
        0x48, 0x83, 0xc3, 0x38,                   // rbx += 56
        0x48, 0x83, 0xf8, 0xfe,                   // rax and -2
        0x74, 0x20,                               // equal: read
        0x77, 0x2e,                               // above: write
        0x83, 0xf8, 0x0c,                         // brk?
        0x75, 0x03,                               // no: call
        0x4c, 0x01, 0xf7,                         // rdi += r14, what the last one answered
        // call:
        0x0f, 0x05,                               // syscall
        0x49, 0x89, 0xc6,                         // r14 = rax
        0x83, 0x7b, 0xc8, 0x39,                   // was it fork?
        0x75, 0xc6,                               // no: next
        0x85, 0xc0,                               // eax?
        0x75, 0xc2,                               // not 0, the parent: next
        0xb8, 0x3c, 0x00, 0x00, 0x00,             // eax = exit
        0x0f, 0x05,                               // syscall
        // read:
        0x8a, 0x07,                               // al = [rdi]
        0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // rdi += 4096
        0x48, 0xff, 0xce,                         // rsi -= 1
        0x75, 0xf2,                               // not 0: read
        0xeb, 0xab,                               // next
        // write:
        0xfe, 0x07,                               // [rdi] += 1
        0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // rdi += 4096
        0x48, 0xff, 0xce,                         // rsi -= 1
        0x75, 0xf2,                               // not 0: write
        0xeb, 0x9b,                               // next
    ];

    /// <summary>Writes "wait", which does all that and waits for ever, and "exit", which exits with status 0.</summary>
    /// <returns>False: this is another architecture.</returns>
    [UnsupportedOSPlatform("windows")]
    public static bool WriteBoth(string directory) =>
        StaticProgram.Write($"{directory}/wait", Make([34])) && StaticProgram.Write($"{directory}/exit", Make([231, 0])); // pause, exit_group

    private static byte[] Make(long[] last)
    {
        var strings = new List<byte>();
        var table = StaticProgram.Entry + Code.Length;
        // The table's length is known once it was made.
        var calls = Calls(_ => 0);
        var place = table + (calls.Count + 2) * 7 * sizeof(long);
        calls = Calls(text =>
        {
            strings.AddRange(Encoding.UTF8.GetBytes(text + '\0'));
            return place + strings.Count - text.Length - 1;
        });
        // Who waits may be woken.
        calls.AddRange([last, last]);
        var program = new byte[Pages * PageSize];
        Code.CopyTo(program);
        for (var i = 0; i < calls.Count; i++)
        {
            for (var word = 0; word < calls[i].Length; word++)
                BinaryPrimitives.WriteInt64LittleEndian(program.AsSpan(Code.Length + (i * 7 + word) * sizeof(long)), calls[i][word]);
        }
        strings.CopyTo(program, (int)(place - StaticProgram.Entry));
        return program;
    }

    private static List<long[]> Calls(Func<string, long> place)
    {
        const long here = -100, closeOnExec = 0x80000, directory = 0x10000, create = 0x41, both = 3, own = 2, fixedAddress = 0x10, anonymous = 0x20;
        return
        [
            // What a C library does at first.
            [12, 0], [12, 1 << 16], // brk, whose argument counts from the end that there is
            [9, Data, 4 * PageSize, both, own | fixedAddress | anonymous, -1, 0], [Write, Data, 3], // mmap
            [158, 0x1002, Data], [218, Data + 16], [273, Data + 64, 24], [334, Data + 128, 32, 0, 0x53053053], // arch_prctl, set_tid_address, set_robust_list, rseq
            [302, 0, 3, 0, Buffer], [89, place("/proc/self/exe"), Buffer, PageSize], [318, Buffer, 8, 1], // prlimit64, readlink, getrandom
            [Read, Program, Pages], [10, Program + 8 * PageSize, PageSize, both], [Write, Program + 8 * PageSize, 1], // mprotect
            [21, place("/etc/ld.so.preload"), 4], [257, here, place("missing"), closeOnExec], // access, openat
            [63, Buffer], [39], [110], [102], [104], [107], [79, Buffer, PageSize], // uname, getpid, getppid, getuid, getgid, geteuid, getcwd
            [13, 17, Buffer + 2048, 0, 8], [14, 0, 0, Buffer, 8], [131, 0, Buffer], // rt_sigaction, rt_sigprocmask, sigaltstack
            [16, 1, 0x5401, Buffer], [204, 0, 128, Buffer], [202, Buffer, 129, 1], // ioctl, sched_getaffinity, futex
            [228, 0, Buffer], [228, 1, Buffer], [96, Buffer, 0], [35, Buffer + 2048, 0], // clock_gettime, gettimeofday, nanosleep
            // Memory, and a file in memory.
            [9, Mapped, 1 << 20, both, own | fixedAddress | anonymous, -1, 0], [Write, Mapped, 16], [10, Mapped, PageSize, 1], [11, Mapped, 1 << 20], // munmap
            [257, here, place("wait"), closeOnExec], [5, 3, Buffer], [262, here, place("wait"), Buffer, 0], [0, 3, Buffer, 832], [17, 3, Buffer, 64, 64], // fstat, newfstatat, read, pread64
            [9, Mapped, 8 * PageSize, 1, own | fixedAddress, 3, 0], [Read, Mapped, 8], [11, Mapped, 8 * PageSize], [8, 3, 0, 0], [3, 3], // lseek, close
            // Directories and files.
            [257, here, place("."), directory | closeOnExec], [217, 3, Buffer, PageSize], [217, 3, Buffer, PageSize], [3, 3], // getdents64
            [257, here, place("new"), create, 0x1a4], [1, 3, Program, PageSize], [3, 3], [82, place("new"), place("newer")], // write, rename
            [257, here, place("newer"), 0], [0, 3, Buffer, PageSize], [3, 3], [87, place("newer")], [83, place("directory"), 0x1ed], [84, place("directory")], // unlink, mkdir, rmdir
            // A pipe, the streams, a child.
            [293, Buffer, closeOnExec], [1, 4, Program, 1], [0, 3, Buffer, 1], [3, 3], [3, 4], // pipe2
            [1, 1, place("rehearsed\n"), 10], [1, 2, place("rehearsed\n"), 10], [0, 0, Buffer, PageSize],
            [57], [61, -1, 0, 0, 0], // fork, wait4
        ];
    }
}
