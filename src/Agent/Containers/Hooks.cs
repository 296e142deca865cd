using System.Globalization;
using System.Text;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Containers;

/// <summary>The hooks that run in the guest (config.md, "POSIX-platform Hooks"), and what they are told.</summary>
/// <param name="State">Without its status and pid.</param>
internal sealed record HookPlan(IReadOnlyList<Hook> CreateContainer, IReadOnlyList<Hook> StartContainer, State State)
{
    public static HookPlan From(ContainerRequest request, Spec spec) => new(
        spec.Hooks?.CreateContainer ?? [], spec.Hooks?.StartContainer ?? [],
        new State
        {
            OciVersion = spec.OciVersion,
            Id = request.Id,
            Status = "creating",
            Bundle = request.Bundle,
            Annotations = spec.Annotations,
        });
}

/// <summary>
/// Runs hooks in a container's namespaces, one after the other, each with the state on its standard input. The guest
/// has no programs of its own: all paths are those of the container's root file system.
/// </summary>
/// <param name="adopt">Tells how a child of the agent ends.</param>
internal sealed class HookRunner(Entrance entrance, HookPlan plan, Func<int, Task<ProcessExit>> adopt)
{
    private const int MaxOutput = 2048;
    private const int SigKill = 9;

    /// <summary>With all privileges of the container's root user, as those run that come before a process drops them.</summary>
    public static ProcessPlan Privileged { get; } = new()
    {
        Arguments = [],
        Environment = [],
        WorkingDirectory = "/",
        UserId = 0,
        GroupId = 0,
        AdditionalGroups = [],
        Umask = 0x12,
        Capabilities = null,
        Limits = [],
        NoNewPrivileges = false,
    };

    /// <param name="kind">As config.json names it.</param>
    /// <param name="first">The container's first process.</param>
    /// <param name="process">What the hooks get but for their program, arguments and environment.</param>
    /// <param name="root">Their root directory; null: that of the first process.</param>
    /// <exception cref="ContainerException">A hook failed; says which.</exception>
    public void Run(string kind, IReadOnlyList<Hook> hooks, string status, int first, ProcessPlan process, FileDescriptor? root = null)
    {
        for (var index = 0; index < hooks.Count; index++)
        {
            var hook = hooks[index];
            var state = plan.State with { Status = status, Pid = PidInside(first) };
            var hooked = process with
            {
                Path = hook.Path,
                Arguments = hook.Args is { Count: > 0 } arguments ? arguments : [hook.Path],
                Environment = hook.Env ?? [],
                Scheduling = null,
                IoPriority = null,
                Processors = null,
            };
            if (Failure(hook, hooked, state.ToUtf8Json(), root) is { } reason)
                throw new ContainerException($"error running {kind} hook #{index} ({hook.Path}): {reason}");
        }
    }

    private string? Failure(Hook hook, ProcessPlan process, byte[] state, FileDescriptor? root)
    {
        var (output, theirs) = Files.Pipe(Files.NonBlocking);
        using (output)
        {
            try
            {
                using var started = Start(process, state, theirs, root);
                var exited = adopt(started.Pid);
                var (text, inTime) = ReadToEnd(started.PidFd, output, hook.Timeout);
                if (!inTime)
                    started.Signal(SigKill);
                var code = exited.GetAwaiter().GetResult().Code;
                return !inTime ? $"hook ran past specified timeout of {hook.Timeout}.0s"
                    : code != 0 ? $"exit status {code}, output: {text}" : null;
            }
            catch (Exception e) when (e is ContainerException or LinuxException)
            {
                return e.Message;
            }
        }
    }

    private ContainerProcess Start(ProcessPlan process, byte[] state, FileDescriptor output, FileDescriptor? root)
    {
        using (output)
        using (var input = Memory.CreateFile("state", 0))
        {
            File.WriteAllBytes(input.ProcPath, state);
            var stdio = new Stdio { Input = input, Output = output, Error = output };
            return entrance.Start(process, stdio, process.Environment, root, confined: root is null);
        }
    }

    /// <summary>The start of what it writes until it has ended; its own children may hold the pipe for longer.</summary>
    private static (string Text, bool InTime) ReadToEnd(FileDescriptor process, FileDescriptor output, int? seconds)
    {
        var (text, buffer) = (new MemoryStream(), new byte[4096]);
        var end = Environment.TickCount64 + (seconds ?? 0) * 1000L;
        var (open, ended) = (true, false);
        while (!ended)
        {
            var left = seconds is null ? -1 : (int)Math.Clamp(end - Environment.TickCount64, 0, int.MaxValue);
            var (exit, readable) = Polling.WaitAny(process, PollEvents.Readable, output, open ? PollEvents.Readable : 0, left);
            ended = exit != 0;
            if (!ended && readable == 0 && left == 0)
                return ("", false);
            for (nint count = 1; open && (ended || readable != 0) && count > 0;)
            {
                count = Files.TryRead(output, buffer);
                open = count != 0;
                text.Write(buffer, 0, (int)Math.Clamp(MaxOutput - text.Length, 0, Math.Max(count, 0)));
            }
        }
        return (Encoding.UTF8.GetString(text.ToArray()).Trim(), true);
    }

    /// <summary>The last of a process's pids: that of its own namespace.</summary>
    private static int PidInside(int pid)
    {
        var line = KernelFiles.Read($"/proc/{pid}/status").Split('\n').First(line => line.StartsWith("NSpid:", StringComparison.Ordinal));
        return int.Parse(line.Split('\t')[^1], CultureInfo.InvariantCulture);
    }
}
