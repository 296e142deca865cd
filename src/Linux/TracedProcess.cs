using System.Globalization;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int PTRACE_CONT = 7, PTRACE_SINGLESTEP = 9, PTRACE_GETREGS = 12, PTRACE_SETREGS = 13, PTRACE_DETACH = 17;
    internal const int PTRACE_SEIZE = 0x4206, PTRACE_INTERRUPT = 0x4207, PTRACE_GETSIGMASK = 0x420a;
    internal const int PTRACE_SECCOMP_GET_FILTER = 0x420c, PTRACE_GET_RSEQ_CONFIGURATION = 0x420f;
    internal const int SYS_get_robust_list = 274;

    /// <summary>user_regs_struct of x86-64.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct user_regs_struct
    {
        internal ulong r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
        internal ulong fs_base, gs_base, ds, es, fs, gs;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct ptrace_rseq_configuration
    {
        internal ulong rseq_abi_pointer;
        internal uint rseq_abi_size, signature, flags, pad;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint ptrace(nint request, int pid, nint address, void* data);
}

/// <summary>A thread that stands still in a system call.</summary>
internal sealed record TracedThread(int Id, string Name)
{
    /// <summary>As they were when it stopped.</summary>
    public required Libc.user_regs_struct Registers { get; init; }

    public required ulong SignalMask { get; init; }

    public required (ulong Address, ulong Length) RobustList { get; init; }

    /// <summary>Its area for restartable sequences (rseq(2)); address 0: none.</summary>
    public required Libc.ptrace_rseq_configuration RestartableSequences { get; init; }
}

/// <summary>
/// A process of x86-64 whose threads were stopped with ptrace(2). Made, used and disposed of on one thread, as the kernel knows a tracer by its
/// thread; the process goes on when it is disposed of, or that thread ends.
/// </summary>
internal sealed unsafe class TracedProcess : IDisposable
{
    private const int MostTries = 100;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    private readonly FileDescriptor _memory;
    private readonly List<TracedThread> _threads = [];

    private TracedProcess(int pid)
    {
        Pid = pid;
        _memory = Files.Open($"/proc/{pid}/mem", Files.ReadOnly);
    }

    public int Pid { get; }

    /// <summary>All, the first one first.</summary>
    public IReadOnlyList<TracedThread> Threads => _threads;

    /// <exception cref="LinuxException">It is not ours to trace.</exception>
    /// <exception cref="InvalidDataException">A thread is not in a system call.</exception>
    public static TracedProcess Stop(int pid)
    {
        var process = new TracedProcess(pid);
        try
        {
            foreach (var thread in Directory.EnumerateDirectories($"/proc/{pid}/task").Select(path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture)).Order())
                process._threads.Add(StopThread(thread));
            return process;
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    private static TracedThread StopThread(int id)
    {
        Trace(Libc.PTRACE_SEIZE, id);
        try
        {
            return ReadThread(id, StopWhereItWaits(id));
        }
        catch
        {
            Detach(id);
            throw;
        }
    }

    /// <summary>Its registers in a system call, which it may be between two of for a moment.</summary>
    private static Libc.user_regs_struct StopWhereItWaits(int id)
    {
        for (var tries = 0; ; tries++)
        {
            Trace(Libc.PTRACE_INTERRUPT, id);
            Wait(id);
            Libc.user_regs_struct registers;
            Trace(Libc.PTRACE_GETREGS, id, 0, &registers);
            if ((long)registers.orig_rax >= 0)
                return registers;
            if (tries == MostTries)
                throw new InvalidDataException($"thread {id} does not wait");
            Trace(Libc.PTRACE_CONT, id);
            Thread.Sleep(Pause);
        }
    }

    private static TracedThread ReadThread(int id, Libc.user_regs_struct registers)
    {
        ulong mask, list, length;
        Trace(Libc.PTRACE_GETSIGMASK, id, sizeof(ulong), &mask);
        Libc.Check(Libc.syscall(Libc.SYS_get_robust_list, id, (nint)(&list), (nint)(&length)), "get_robust_list");
        Libc.ptrace_rseq_configuration sequences;
        Trace(Libc.PTRACE_GET_RSEQ_CONFIGURATION, id, sizeof(Libc.ptrace_rseq_configuration), &sequences);
        return new TracedThread(id, File.ReadAllText($"/proc/{id}/comm").TrimEnd('\n'))
        {
            Registers = registers,
            SignalMask = mask,
            RobustList = (list, length),
            RestartableSequences = sequences,
        };
    }

    /// <summary>Has the first thread make a system call.</summary>
    /// <returns>What it returned: below 0 an error's number, negated.</returns>
    public long Call(long number, ulong first = 0, ulong second = 0, ulong third = 0, ulong fourth = 0)
    {
        var thread = _threads[0];
        var registers = thread.Registers;
        // The instruction that it made its own call with.
        registers.rip -= SystemCallScript.CallLength;
        (registers.rax, registers.orig_rax) = ((ulong)number, ulong.MaxValue);
        (registers.rdi, registers.rsi, registers.rdx, registers.r10) = (first, second, third, fourth);
        Trace(Libc.PTRACE_SETREGS, thread.Id, 0, &registers);
        Trace(Libc.PTRACE_SINGLESTEP, thread.Id);
        Wait(thread.Id);
        Trace(Libc.PTRACE_GETREGS, thread.Id, 0, &registers);
        var result = (long)registers.rax;
        registers = thread.Registers;
        Trace(Libc.PTRACE_SETREGS, thread.Id, 0, &registers);
        return result;
    }

    /// <summary>What the first thread's call of this kind would write to memory.</summary>
    public byte[] Ask(int length, Func<ulong, long> call)
    {
        // Below what a function may use without moving the stack's pointer.
        var place = (_threads[0].Registers.rsp - 4096) & ~15ul;
        if (call(place) is < 0 and var error)
            throw new LinuxException((Errno)(-error), "a call of the traced process");
        var answer = new byte[length];
        Read(place, answer);
        return answer;
    }

    public void Read(ulong address, Span<byte> bytes) => Files.ReadAt(_memory, (long)address, bytes);

    /// <summary>Its system call filters (struct sock_filter), the newest first.</summary>
    /// <exception cref="LinuxException">It has some, and we may not see them.</exception>
    public IReadOnlyList<byte[]> Filters()
    {
        var count = Status("Seccomp_filters:");
        var filters = new List<byte[]>();
        for (nint i = 0; i < count; i++)
        {
            const int instruction = 8;
            var length = Libc.Check(Libc.ptrace(Libc.PTRACE_SECCOMP_GET_FILTER, Pid, i, null), "ptrace", "PTRACE_SECCOMP_GET_FILTER");
            var code = new byte[length * instruction];
            fixed (byte* pointer = code)
                Trace(Libc.PTRACE_SECCOMP_GET_FILTER, Pid, i, pointer);
            filters.Add(code);
        }
        return filters;
    }

    private int Status(string field)
    {
        var line = File.ReadLines($"/proc/{Pid}/status").FirstOrDefault(line => line.StartsWith(field, StringComparison.Ordinal));
        return line is null
            ? throw new InvalidDataException($"the kernel does not tell {field}") : int.Parse(line.AsSpan(field.Length), NumberStyles.Integer, CultureInfo.InvariantCulture);
    }

    private static void Trace(int request, int thread, nint address = 0, void* data = null) =>
        Libc.Check(Libc.ptrace(request, thread, address, data), "ptrace", $"0x{request:x}");

    /// <summary>By the thread's state, for what waitpid has to say of it may be told to whoever waits for the process's end.</summary>
    private static void Wait(int thread)
    {
        while (true)
        {
            switch (ProcessStat.Of(thread).State)
            {
                case 't':
                    return;
                case 'Z' or 'X':
                    throw new InvalidDataException($"thread {thread} has ended");
            }
            Thread.Yield();
        }
    }

    public void Dispose()
    {
        _threads.ForEach(thread => Detach(thread.Id));
        _memory.Dispose();
    }

    private static void Detach(int thread) => _ = Libc.ptrace(Libc.PTRACE_DETACH, thread, 0, null);
}
