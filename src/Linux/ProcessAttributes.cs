using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_sched_setaffinity = 203, SYS_ioprio_set = 251, SYS_sched_setattr = 314;
    internal const int IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_SHIFT = 13;

    /// <summary>Its first version, without utilization clamps.</summary>
    internal struct sched_attr
    {
        internal uint size, sched_policy;
        internal ulong sched_flags;
        internal int sched_nice;
        internal uint sched_priority;
        internal ulong sched_runtime, sched_deadline, sched_period;
    }
}

/// <summary>SCHED_* with what belongs to it (sched_setattr(2)); times in nanoseconds.</summary>
public readonly record struct SchedulingPolicy(
    uint Policy, ulong Flags, int Nice, uint Priority, ulong Runtime, ulong Deadline, ulong Period);

/// <summary>What a process gets from outside, by one that may give more than it could take itself.</summary>
public static unsafe class ProcessAttributes
{
    /// <param name="resource">As RLIMIT_NOFILE, by number.</param>
    public static void Limit(int pid, int resource, ulong soft, ulong hard)
    {
        var limit = stackalloc ulong[] { soft, hard };
        Libc.Check(Libc.syscall(Libc.SYS_prlimit64, pid, resource, (nint)limit, 0), "prlimit", $"resource {resource}");
    }

    public static void Schedule(int pid, SchedulingPolicy policy)
    {
        var attributes = new Libc.sched_attr
        {
            size = (uint)sizeof(Libc.sched_attr),
            sched_policy = policy.Policy,
            sched_flags = policy.Flags,
            sched_nice = policy.Nice,
            sched_priority = policy.Priority,
            sched_runtime = policy.Runtime,
            sched_deadline = policy.Deadline,
            sched_period = policy.Period,
        };
        Libc.Check(Libc.syscall(Libc.SYS_sched_setattr, pid, (nint)(&attributes), 0), "sched_setattr");
    }

    /// <param name="kind">1: real time, 2: best effort, 3: idle.</param>
    /// <param name="priority">0, the highest, to 7.</param>
    public static void SetIoPriority(int pid, int kind, int priority) => Libc.Check(
        Libc.syscall(Libc.SYS_ioprio_set, Libc.IOPRIO_WHO_PROCESS, pid, kind << Libc.IOPRIO_CLASS_SHIFT | priority), "ioprio_set");

    /// <summary>The processors that it may run on. EINVAL: it has none of them.</summary>
    public static void SetProcessors(int pid, IEnumerable<int> processors)
    {
        var mask = new byte[1024];
        foreach (var processor in processors.Where(processor => processor < mask.Length * 8))
            mask[processor / 8] |= (byte)(1 << processor % 8);
        fixed (byte* first = mask)
            Libc.Check(Libc.syscall(Libc.SYS_sched_setaffinity, pid, mask.Length, (nint)first), "sched_setaffinity");
    }

    /// <summary>Changes the owner of an open file; false where its kind has none, or it cannot be.</summary>
    public static bool TryGive(FileDescriptor file, uint user, uint group = uint.MaxValue)
    {
        byte empty = 0;
        return Libc.fchownat(file.Number, &empty, user, group, Libc.AT_EMPTY_PATH) == 0;
    }
}
