using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const ulong CLONE_INTO_CGROUP = 0x200000000;

    internal const int KATALIKE_OPTIONAL = 1;
    internal const int KATALIKE_ABSENT = 2;
    internal const int KATALIKE_REPORT = 4;
    internal const int KATALIKE_GATE = 8;
    internal const int KATALIKE_CLONE = 16;

    internal struct clone_args
    {
        internal ulong flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
    }

    [InlineArray(6)]
    internal struct katalike_arguments
    {
        private ulong _first;
    }

    internal struct katalike_step
    {
        internal long number;
        internal katalike_arguments arguments;
        internal uint flags;
        internal uint references;
        internal long result;
    }

    internal struct katalike_message
    {
        internal uint step;
        internal int error;
        internal long result;
    }

    internal struct katalike_plan
    {
        internal clone_args clone;
        internal katalike_step* steps;
        internal ulong count;
        internal int status;
        internal int pid_namespace;
        internal int own_pid_namespace;
        internal int pidfd;
    }

    [LibraryImport("katalike_launch")]
    internal static partial long katalike_launch(katalike_plan* plan);
}

/// <summary>A child that runs its plan. Whoever launched it also reaps it: nothing here waits on its pid.</summary>
public sealed class LaunchedProcess : IDisposable
{
    private readonly FileDescriptor _status;
    private readonly List<(string Call, string? Operand)> _names;
    private readonly int _firstStep;
    private readonly Dictionary<uint, long> _results = [];

    internal LaunchedProcess(int pid, FileDescriptor pidFd, FileDescriptor status, List<(string, string?)> names, int firstStep)
    {
        (Pid, PidFd, _status, _names, _firstStep) = (pid, pidFd, status, names, firstStep);
    }

    public int Pid { get; private set; }

    /// <summary>Owned by this object's user: <see cref="Dispose"/> leaves it open.</summary>
    public FileDescriptor PidFd { get; private set; }

    /// <summary>Blocks until the child has done a step that reports, and gives the call's result.</summary>
    /// <exception cref="LinuxException">A step failed; ECHILD: the child ended before it came so far.</exception>
    public long WaitFor(Step step)
    {
        while (!_results.ContainsKey((uint)step.Index))
        {
            if (Next() is null)
                throw new LinuxException(Errno.ECHILD, "launch", "the process ended during its set-up");
        }
        return _results[(uint)step.Index];
    }

    /// <summary>From here on this is the process that <see cref="LaunchPlan.CloneAgain"/> has made.</summary>
    public void Follow(Step clone)
    {
        var pid = (int)WaitFor(clone);
        var pidFd = Processes.TryOpen(pid) ?? throw new LinuxException(Errno.ECHILD, "launch", "the process ended during its set-up");
        PidFd.Dispose();
        (Pid, PidFd) = (pid, pidFd);
    }

    /// <summary>Whether a step has reported success so far: of those before the one that was last waited for.</summary>
    public bool HasReported(Step step) => _results.ContainsKey((uint)step.Index);

    /// <summary>Blocks until execve has succeeded or the child was killed, which only its exit status tells apart.</summary>
    /// <exception cref="LinuxException">A step or execve failed.</exception>
    public void WaitForExec()
    {
        while (Next() is not null)
        {
        }
    }

    private Libc.katalike_message? Next()
    {
        Span<byte> buffer = stackalloc byte[Unsafe.SizeOf<Libc.katalike_message>()];
        // Messages are far smaller than PIPE_BUF, so none is ever split.
        if (Files.Read(_status, buffer) < buffer.Length)
        {
            return null;
        }
        var message = MemoryMarshal.Read<Libc.katalike_message>(buffer);
        message.step -= (uint)_firstStep;
        if (message.error != 0)
        {
            var (call, operand) = message.step < _names.Count ? _names[(int)message.step] : ("close_range", null);
            throw new LinuxException((Errno)message.error, call, operand);
        }
        _results[message.step] = message.result;
        return message;
    }

    public void Dispose() => _status.Dispose();
}

/// <summary>The parent's side of a point where a child waits. Disposing of an unopened gate ends the child.</summary>
public sealed class Gate(FileDescriptor parentEnd) : IDisposable
{
    /// <summary>Lets the child go on. EPIPE is no error: the child's end shows elsewhere.</summary>
    public void Open()
    {
        try
        {
            Files.Write(parentEnd, "g"u8);
        }
        catch (LinuxException e) when (e.Errno == Errno.EPIPE)
        {
        }
        Dispose();
    }

    public void Dispose() => parentEnd.Dispose();
}
