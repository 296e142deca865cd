using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>
/// katalike stub ROOT SANDBOX attach …: the process that stands for a detached one of the guest. It exits with the
/// guest's status; a signal's number plus 128 stays an exit code, which callers treat the same.
/// </summary>
internal static class StubCommand
{
    /// <summary>The descriptor on which the parent learns the ticket and says to go on.</summary>
    public const int ReportNumber = 3;

    private const int StackSize = 128 * 1024;

    public static Task<int> RunAsync(string[] arguments)
    {
        var signals = Signals.Redirect(StubSession.Forwarded);
        if (arguments is not [var root, var sandbox, .. var words] ||
            StubMessage.Parse(string.Join(' ', words)) is not StubMessage.Attach request)
        {
            StandardStreams.WriteError("katalike stub is started by katalike create, run and exec\n");
            return Task.FromResult(1);
        }
        return Task.FromResult(Run(new StateRoot(root), sandbox, request, signals));
    }

    private static int Run(StateRoot root, string sandbox, StubMessage.Attach request, FileDescriptor signals)
    {
        using var report = new StubChannel(new FileDescriptor(ReportNumber));
        try
        {
            using var session = request.Terminal
                ? StubSession.Attach(root, sandbox, request, StandardStreams.Get(0), StandardStreams.Get(1))
                : StubSession.Attach(root, sandbox, request, StandardStreams.Get(0), StandardStreams.Get(1), StandardStreams.Get(2));
            if (!request.Terminal)
                StandardStreams.Release();
            // Callers and hooks put interfaces into the network namespace of the pid that they were told.
            if (session.Network is { } network)
                NetworkNamespaces.Enter(network);
            report.Send(new StubMessage.Ticket(session.Ticket));
            if (report.Receive() is not StubMessage.Bind)
                return 1;
            session.Bind();
            // Now: in the container's root file system /proc is what the guest says.
            var program = ProgramMemory.Find();
            // On a thread that stays in the host's namespace: what the runtime reads for itself, such as /proc/meminfo, is
            // no file that the guest could write.
            var status = 0u;
            var waiting = new Thread(() => status = session.Wait(signals, request.Terminal ? StandardStreams.Get(0) : null).Status, StackSize);
            waiting.Start();
            if (request.ExecId.Length == 0)
                EnterRootfs(root, request.Container);
            report.Send(new StubMessage.Bound());
            report.Dispose();
            // Of what came this far, little is needed to wait.
            program.Release();
            waiting.Join();
            return (int)status;
        }
        catch (Exception e) when (e is RuntimeException or LinuxException)
        {
            report.Send(new StubMessage.Error(e.Message));
            return 1;
        }
    }

    /// <summary>
    /// Callers join the mount namespace of the pid that they were told, to copy files (podman cp) or to look at processes
    /// (podman top): there they find the container's root file system and nothing of the host.
    /// </summary>
    /// <remarks>On the main thread, whose namespace it is that /proc shows, and which does no more than wait afterwards.</remarks>
    private static void EnterRootfs(StateRoot root, string container)
    {
        if (ContainerState.TryLoad(root, container) is not { Rootfs.Length: > 0 } state)
            return;
        MountNamespace.Leave();
        using var tree = Mounts.Clone(state.Rootfs, recursive: true);
        Mounts.Attach(tree, state.Rootfs);
        Mounts.PivotInto(tree);
    }
}
