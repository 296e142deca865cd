namespace KataLike.Runtime.Cli.Commands;

/// <summary>checkpoint and restore: known by name and flags, for callers probe for them, and refused.</summary>
internal static class CheckpointCommands
{
    private static readonly Flag[] Common =
    [
        Flag.Text("image-path", "path for image files"),
        Flag.Text("work-path", "path for saving work files and logs"),
        Flag.Boolean("tcp-established", "allow open tcp connections"),
        Flag.Boolean("tcp-skip-in-flight", "skip in-flight tcp connections"),
        Flag.Boolean("link-remap", "allow one to link unlinked files back when possible"),
        Flag.Boolean("ext-unix-sk", "allow external unix sockets"),
        Flag.Boolean("shell-job", "allow shell jobs"),
        Flag.Boolean("lazy-pages", "use userfaultfd to lazily restore memory pages"),
        Flag.Boolean("file-locks", "handle file locks, for safety"),
        Flag.Text("manage-cgroups-mode", "cgroups mode: 'soft' (default), 'full' and 'strict'"),
        Flag.TextList("empty-ns", "create a namespace, but don't restore its properties"),
        Flag.Boolean("auto-dedup", "enable auto deduplication of memory images"),
    ];

    public static Command Checkpoint { get; } = new("checkpoint", "checkpoint a running container", CheckpointAsync)
    {
        Description = "Not supported yet: the command only answers --help.",
        Flags =
        [
            .. Common,
            Flag.Text("parent-path", "path for previous image files in pre-dump"),
            Flag.Boolean("leave-running", "leave the process running after checkpointing"),
            Flag.Integer("status-fd", "written to once lazy-pages is ready"),
            Flag.Text("page-server", "ADDRESS:PORT of the page server"),
            Flag.Boolean("pre-dump", "dump container's memory information only, leave the container running after this"),
        ],
    };

    public static Command Restore { get; } = new("restore", "restore a container from a previous checkpoint", Refuse)
    {
        Description = "Not supported yet: the command only answers --help.",
        Flags =
        [
            .. Common,
            .. ContainerCreation.Flags,
            Flag.Boolean("detach, d", "detach from the container's process"),
            Flag.Boolean("no-subreaper", "accepted: processes are reaped in the guest"),
            Flag.Boolean("tcp-close", "close open tcp connections"),
            Flag.Text("lsm-profile", "Specify an LSM profile to be used during restore in the form of TYPE:NAME."),
            Flag.Text("lsm-mount-context", "Specify an LSM mount context to be used during restore."),
        ],
    };

    private static Task<int> CheckpointAsync(Invocation invocation)
    {
        ContainerState.Load(new StateRoot(invocation.Global.Root), invocation.ContainerId);
        return Refuse(invocation);
    }

    private static Task<int> Refuse(Invocation invocation) =>
        throw new RuntimeException("checkpoint and restore are not supported yet");
}
