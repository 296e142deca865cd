using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux;

/// <summary>A system call of a <see cref="LaunchPlan"/>, whose result later calls can take as an argument.</summary>
public readonly record struct Step(int Index);

/// <summary>
/// What a child does between clone3 and execve: a flat list of system calls, computed here and run by
/// Native/launch.c, since no managed code may run there (docs/decisions/0004). The verbs that add steps are in
/// LaunchSteps.cs and LaunchIdentity.cs.
/// </summary>
/// <remarks>
/// The child closes every descriptor that no step names, so that a child that waits at a gate does not hold the
/// parent's pipes open. One plan launches one child.
/// </remarks>
public sealed unsafe partial class LaunchPlan : IDisposable
{
    /// <summary>Descriptors that a child gets must be below this number; the plan's own are above.</summary>
    public const int ReservedDescriptors = 256;

    private readonly List<Libc.katalike_step> _steps = [];
    private readonly List<(string Call, string? Operand)> _names = [];
    private readonly List<nint> _memory = [];
    private readonly SortedSet<int> _kept = [];
    private readonly List<FileDescriptor> _childEnds = [];

    /// <summary>One argument of a call: a number, an address, or the result of an earlier step.</summary>
    internal readonly record struct Argument(ulong Value, bool IsStep = false)
    {
        public static implicit operator Argument(long value) => new((ulong)value);
        public static implicit operator Argument(Step step) => new((ulong)step.Index, IsStep: true);
    }

    internal Step Add(string call, string? operand, int number, int flags, params ReadOnlySpan<Argument> arguments)
    {
        var step = new Libc.katalike_step { number = number, flags = (uint)flags };
        for (var i = 0; i < arguments.Length; i++)
        {
            step.arguments[i] = arguments[i].Value;
            step.references |= arguments[i].IsStep ? 1u << i : 0;
        }
        _steps.Add(step);
        _names.Add((call, operand));
        return new Step(_steps.Count - 1);
    }

    /// <summary>Memory that lives as long as the plan.</summary>
    private nint Allocate(ReadOnlySpan<byte> content)
    {
        // SAFETY: allocated with the length that is copied; freed once, in Dispose.
        var memory = NativeMemory.Alloc((nuint)Math.Max(content.Length, 1));
        content.CopyTo(new Span<byte>(memory, content.Length));
        _memory.Add((nint)memory);
        return (nint)memory;
    }

    private nint Allocate<T>(ReadOnlySpan<T> content) where T : unmanaged => Allocate(MemoryMarshal.AsBytes(content));

    private nint Text(string text) =>
        text.Contains('\0')
            ? throw new ArgumentException($"a string for a system call holds a zero character: {text.Replace("\0", "\\0")}")
            : Allocate(Encoding.UTF8.GetBytes(text + '\0'));

    private nint Texts(IReadOnlyList<string> texts)
    {
        var pointers = new nint[texts.Count + 1];
        for (var i = 0; i < texts.Count; i++)
        {
            pointers[i] = Text(texts[i]);
        }
        return Allocate<nint>(pointers);
    }

    /// <summary>Keeps a descriptor open in the child, under its number. It must stay open until the launch.</summary>
    private int Keep(FileDescriptor file)
    {
        _kept.Add(file.Number);
        return file.Number;
    }

    /// <summary>A pipe for the plan's own use; the child's end stays clear of the numbers that the child is given.</summary>
    private (FileDescriptor Parent, FileDescriptor Child) Channel(bool childWrites)
    {
        var (read, write) = Files.Pipe();
        var (parent, low) = childWrites ? (read, write) : (write, read);
        using (low)
        {
            var high = Libc.Check(Libc.fcntl(low.Number, Libc.F_DUPFD_CLOEXEC, ReservedDescriptors), "fcntl", "F_DUPFD_CLOEXEC");
            var child = new FileDescriptor(high);
            _childEnds.Add(child);
            Keep(child);
            return (parent, child);
        }
    }

    /// <summary>
    /// Clones the child and lets it go as far as its first gate. With <see cref="JoinPidNamespace"/> it is born in
    /// another pid namespace; its pid is the caller's view of it all the same.
    /// </summary>
    /// <param name="namespaces">Namespaces to make.</param>
    /// <param name="cgroup">A cgroup v2 directory that the child is born in.</param>
    /// <exception cref="LinuxException">clone3 or setns was refused.</exception>
    public LaunchedProcess Launch(Namespaces namespaces = 0, FileDescriptor? cgroup = null)
    {
        var (status, childStatus) = Channel(childWrites: true);
        using var own = _pidNamespace is null ? null : NamespaceFiles.Own(Namespaces.Pid);
        var closing = ClosingSteps();
        var steps = closing.Concat(_steps.Select(step => Shift(step, closing.Count))).ToArray();
        fixed (Libc.katalike_step* first = steps)
        {
            var plan = new Libc.katalike_plan
            {
                steps = first,
                count = (ulong)steps.Length,
                status = childStatus.Number,
                pid_namespace = _pidNamespace?.Number ?? -1,
                own_pid_namespace = own?.Number ?? -1,
                pidfd = -1,
            };
            plan.clone.flags = (ulong)namespaces | (cgroup is null ? 0 : Libc.CLONE_INTO_CGROUP);
            plan.clone.cgroup = (ulong)(cgroup?.Number ?? 0);
            // SAFETY: steps, plan and all memory that they point to outlive the call; the child has its own copy.
            var pid = Libc.katalike_launch(&plan);
            foreach (var end in _childEnds)
            {
                end.Dispose();
            }
            if (pid < 0)
            {
                status.Dispose();
                throw new LinuxException((Errno)(-pid), "clone3");
            }
            return new LaunchedProcess((int)pid, new FileDescriptor(plan.pidfd), status, _names, closing.Count);
        }
    }

    /// <summary>Closes the gaps between the descriptors that steps name.</summary>
    private List<Libc.katalike_step> ClosingSteps()
    {
        var steps = new List<Libc.katalike_step>();
        var next = 0u;
        foreach (var kept in _kept.Select(number => (uint)number).Append(uint.MaxValue))
        {
            if (kept > next)
            {
                var step = new Libc.katalike_step { number = Libc.SYS_close_range };
                step.arguments[0] = next;
                step.arguments[1] = kept == uint.MaxValue ? kept : kept - 1;
                steps.Add(step);
            }
            next = kept + 1;
        }
        return steps;
    }

    private static Libc.katalike_step Shift(Libc.katalike_step step, int by)
    {
        for (var i = 0; i < 6; i++)
        {
            step.arguments[i] += (step.references & (1u << i)) != 0 ? (ulong)by : 0;
        }
        return step;
    }

    public void Dispose()
    {
        _null?.Dispose();
        foreach (var end in _childEnds)
        {
            end.Dispose();
        }
        foreach (var memory in _memory)
        {
            NativeMemory.Free((void*)memory);
        }
        _memory.Clear();
    }
}
