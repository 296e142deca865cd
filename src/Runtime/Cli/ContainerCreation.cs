using KataLike.Contract.Containerd.TaskV2;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>create and run: all of it succeeds, or nothing stays.</summary>
internal static class ContainerCreation
{
    public static IReadOnlyList<Flag> Flags { get; } =
    [
        Flag.Text("bundle, b", "path to the root of the bundle directory, defaults to the current directory"),
        Flag.Text("console-socket", "path to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's pseudoterminal"),
        Flag.Text("pidfd-socket", "path to an AF_UNIX socket which will receive a file descriptor referencing the container's stub process"),
        Flag.Text("pid-file", "specify the file to write the process id to"),
        Flag.Boolean("no-pivot", "accepted: the root file system is the guest's"),
        Flag.Boolean("no-new-keyring", "accepted: keyrings are the guest's"),
        Flag.Integer("preserve-fds", "refused unless 0: descriptors cannot enter the virtual machine"),
    ];

    /// <param name="start">run: the container is started too.</param>
    /// <returns>The exit code: 0, or the container's where it is not detached.</returns>
    public static async Task<int> RunAsync(Invocation invocation, bool start)
    {
        var options = invocation.Options;
        var detach = !start || options.Boolean("detach");
        // Before any thread starts.
        using var signals = detach ? null : Signals.Redirect(StubSession.Forwarded);
        using var timeline = TimelineOption.From(options, detach);
        RefusePreservedDescriptors(options);
        var root = new StateRoot(invocation.Global.Root);
        if (invocation.ContainerId.Length == 0)
            throw new RuntimeException("container id cannot be empty");
        StateRoot.ValidateId(invocation.ContainerId);
        var bundle = Bundle.Open(options.Text("bundle") ?? ".");
        var process = bundle.Spec.Process!;
        var streams = new AttachmentOptions(process.Terminal, detach, options.Text("console-socket"), process.ConsoleSize);
        streams.Check();
        CheckCgroupsPath(invocation.Global, bundle.Spec.Linux?.CgroupsPath);

        var state = Describe(invocation.ContainerId, bundle);
        var making = state.Reserve(root);
        try
        {
            using var attachment = await MakeAsync(invocation, root, bundle, state, making, streams, start, timeline);
            if (detach)
                return 0;
            var status = attachment.Wait(signals!, state.Sandbox, invocation.Log);
            Timeline.Mark("end of the container seen");
            if (!options.Boolean("keep"))
                await Removal.RemoveAsync(root, state, invocation.Log.Warning);
            Timeline.Mark("all removed");
            timeline?.Report();
            return status;
        }
        catch
        {
            await Removal.RemoveAsync(root, state, invocation.Log.Warning);
            making.Dispose();
            throw;
        }
    }

    /// <exception cref="RuntimeException">Descriptors beyond the standard streams were to be passed.</exception>
    public static void RefusePreservedDescriptors(Options options)
    {
        if (options.Integer("preserve-fds") > 0)
            throw new RuntimeException("--preserve-fds is not supported: descriptors of the host cannot enter the virtual machine");
    }

    /// <summary>With --systemd-cgroup the path is systemd's, of which the guest makes a directory.</summary>
    private static void CheckCgroupsPath(GlobalOptions global, string? path)
    {
        if (global.SystemdCgroup && path is { Length: > 0 } && path.Split(':').Length != 3)
            throw new RuntimeException($"expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{path}\" instead");
    }

    private static ContainerState Describe(string id, Bundle bundle) => new()
    {
        Id = id,
        Bundle = bundle.Directory,
        Rootfs = bundle.Rootfs,
        Sandbox = bundle.Group ?? id,
        Created = DateTimeOffset.UtcNow,
        Annotations = bundle.Spec.Annotations,
        Poststop = bundle.Spec.Hooks?.Poststop,
        Owner = PeerCredentials.OwnUser,
    };

    private static async Task<Attachment> MakeAsync(
        Invocation invocation, StateRoot root, Bundle bundle, ContainerState state, FileDescriptor making, AttachmentOptions streams, bool start,
        TimelineOption? timeline)
    {
        await using var sandbox = FindSandbox(invocation, root, bundle, state.Sandbox, timeline);
        Timeline.Mark("sandbox found");
        var attachment = Attachment.Open(root, state.Sandbox, state.Id, "", streams);
        Timeline.Mark("streams handed over");
        try
        {
            await sandbox.CreateAsync(new CreateTaskRequest
            {
                Id = state.Id,
                Bundle = bundle.Directory,
                Terminal = streams.Terminal,
                Stdin = $"stub://{attachment.Stub.Ticket}",
            });
            Timeline.Mark("create answered");
            attachment.Stub.Bind();
            (state with { Pid = attachment.Stub.Pid }).Save(root);
            making.Dispose();
            PidFile.Tell(invocation.Options, attachment.Stub.Pid);
            if (start)
                await sandbox.StartAsync(state.Id);
            Timeline.Mark("start answered");
            return attachment;
        }
        catch
        {
            attachment.Dispose();
            throw;
        }
    }

    private static SandboxClient FindSandbox(Invocation invocation, StateRoot root, Bundle bundle, string sandbox, TimelineOption? timeline)
    {
        if (bundle.Group is not null && SandboxClient.Connect(root, sandbox) is { } running)
            return running;
        if (bundle.NeedsSandbox)
        {
            var loss = ContainerState.TryLoad(root, sandbox) is { } state ? ContainerStatusQuery.LossOf(root, state) : null;
            throw new RuntimeException($"sandbox {sandbox} is not running{(loss is null ? "" : $" ({loss})")}: create its sandbox container first");
        }
        return SandboxClient.Start(root, sandbox, bundle.Directory, invocation.Global, timeline?.SandboxEnd);
    }
}
