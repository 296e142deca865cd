using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const uint SECCOMP_RET_KILL_PROCESS = 0x80000000, SECCOMP_RET_KILL_THREAD = 0, SECCOMP_RET_TRAP = 0x30000;
    internal const uint SECCOMP_RET_ERRNO = 0x50000, SECCOMP_RET_TRACE = 0x7ff00000, SECCOMP_RET_LOG = 0x7ffc0000;
    internal const uint SECCOMP_RET_ALLOW = 0x7fff0000;
    internal const uint AUDIT_ARCH_X86_64 = 0xc000003e;
    internal const int __NR_SCMP_ERROR = -1;

    internal struct scmp_arg_cmp
    {
        internal uint arg;
        internal uint op;
        internal ulong datum_a;
        internal ulong datum_b;
    }

    // The library is looked for when the first of these is called: a host that never filters can do without it.

    [LibraryImport(SeccompFilter.Library)]
    internal static partial nint seccomp_init(uint defaultAction);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial void seccomp_release(nint context);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial int seccomp_api_set(uint level);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial uint seccomp_arch_resolve_name(byte* name);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial int seccomp_arch_add(nint context, uint architecture);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial int seccomp_syscall_resolve_name(byte* name);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial int seccomp_syscall_resolve_name_arch(uint architecture, byte* name);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial int seccomp_rule_add_array(
        nint context, uint action, int number, uint count, scmp_arg_cmp* conditions);

    [LibraryImport(SeccompFilter.Library)]
    internal static partial int seccomp_export_bpf(nint context, int fd);
}

/// <summary>What happens to a system call: SECCOMP_RET_* with its data, which is libseccomp's SCMP_ACT_* as well.</summary>
public readonly record struct SeccompAction(uint Value)
{
    public static SeccompAction KillThread { get; } = new(Libc.SECCOMP_RET_KILL_THREAD);

    public static SeccompAction KillProcess { get; } = new(Libc.SECCOMP_RET_KILL_PROCESS);

    public static SeccompAction Trap { get; } = new(Libc.SECCOMP_RET_TRAP);

    public static SeccompAction Log { get; } = new(Libc.SECCOMP_RET_LOG);

    public static SeccompAction Allow { get; } = new(Libc.SECCOMP_RET_ALLOW);

    public static SeccompAction Errno(uint number) => new(Libc.SECCOMP_RET_ERRNO | (number & 0xffff));

    public static SeccompAction Trace(uint number) => new(Libc.SECCOMP_RET_TRACE | (number & 0xffff));
}

/// <summary>SCMP_CMP_*.</summary>
public enum SeccompOperator : uint
{
    NotEqual = 1,
    Less = 2,
    LessOrEqual = 3,
    Equal = 4,
    GreaterOrEqual = 5,
    Greater = 6,

    /// <summary>The argument and the first value, bit by bit, are the second one.</summary>
    MaskedEqual = 7,
}

/// <summary>A condition on one of the six arguments of a system call.</summary>
public readonly record struct SeccompCondition(uint Argument, SeccompOperator Operator, ulong Value, ulong SecondValue = 0);

/// <summary>Builds a seccomp program with libseccomp, for this machine's architecture and those that are added.</summary>
/// <remarks>Every verb throws <see cref="DllNotFoundException"/> where the library is not installed.</remarks>
public sealed unsafe class SeccompFilter : SafeHandle
{
    internal const string Library = "libseccomp.so.2";

    // What this kernel lacks does not count, for the program is another's. Levels go up with the library's versions.
    private static readonly Lazy<bool> _anyKernel = new(() =>
        Enumerable.Range(1, 16).Reverse().Any(level => Libc.seccomp_api_set((uint)level) == 0));

    private SeccompFilter(nint context) : base(0, ownsHandle: true) => SetHandle(context);

    public override bool IsInvalid => handle == 0;

    /// <summary>The token of x86-64, which is also what the kernel gives a filter.</summary>
    public static uint Native => Libc.AUDIT_ARCH_X86_64;

    /// <param name="otherwise">For the calls that no rule matches.</param>
    public static SeccompFilter Create(SeccompAction otherwise)
    {
        _ = _anyKernel.Value;
        var context = Libc.seccomp_init(otherwise.Value);
        return context != 0 ? new SeccompFilter(context) : throw new LinuxException(Errno.EINVAL, "seccomp_init");
    }

    /// <summary>The token of an architecture by libseccomp's name, as "x86_64"; null: not known.</summary>
    public static uint? Architecture(string name)
    {
        fixed (byte* pointer = Encoding.UTF8.GetBytes(name + '\0'))
            return Libc.seccomp_arch_resolve_name(pointer) is var token and not 0 ? token : null;
    }

    /// <summary>The number of a system call on this machine; a negative one is of other architectures. Null: not known.</summary>
    public static int? Number(string name)
    {
        fixed (byte* pointer = Encoding.UTF8.GetBytes(name + '\0'))
            return Libc.seccomp_syscall_resolve_name(pointer) is var number and not Libc.__NR_SCMP_ERROR ? number : null;
    }

    /// <summary>The number of a system call on an architecture; null where it has no such call.</summary>
    public static int? Number(string name, uint architecture)
    {
        fixed (byte* pointer = Encoding.UTF8.GetBytes(name + '\0'))
            return Libc.seccomp_syscall_resolve_name_arch(architecture, pointer) is var number and >= 0 ? number : null;
    }

    /// <summary>Adds an architecture; one that is there already is no error.</summary>
    public void Add(uint architecture)
    {
        var result = Libc.seccomp_arch_add(handle, architecture);
        if (result != -(int)Errno.EEXIST)
            Check(result, "seccomp_arch_add");
    }

    /// <summary>Adds a rule for the architectures so far; all of its conditions must hold.</summary>
    public void Add(SeccompAction action, int number, ReadOnlySpan<SeccompCondition> conditions)
    {
        var compared = new Libc.scmp_arg_cmp[conditions.Length];
        for (var i = 0; i < compared.Length; i++)
        {
            var (argument, operation, value, second) = conditions[i];
            compared[i] = new Libc.scmp_arg_cmp { arg = argument, op = (uint)operation, datum_a = value, datum_b = second };
        }
        fixed (Libc.scmp_arg_cmp* first = compared)
            Check(Libc.seccomp_rule_add_array(handle, action.Value, number, (uint)compared.Length, first), "seccomp_rule_add");
    }

    /// <summary>The program: struct sock_filter, 8 bytes each.</summary>
    public byte[] Export()
    {
        using var file = Memory.CreateFile("seccomp", 0);
        Check(Libc.seccomp_export_bpf(handle, file.Number), "seccomp_export_bpf");
        return File.ReadAllBytes(file.ProcPath);
    }

    protected override bool ReleaseHandle()
    {
        Libc.seccomp_release(handle);
        return true;
    }

    private static void Check(int result, string call)
    {
        if (result < 0)
            throw new LinuxException((Errno)(-result), call);
    }
}
