namespace KataLike.Runtime.Cli.Commands;

internal static class RunCommand
{
    public static Command Command { get; } = new("run", "create and run a container", invocation => ContainerCreation.RunAsync(invocation, start: true))
    {
        Flags =
        [
            .. ContainerCreation.Flags,
            Flag.Boolean("detach, d", "detach from the container's process"),
            Flag.Boolean("keep", "do not delete the container after it exits"),
            TimelineOption.Flag,
            Flag.Boolean("no-subreaper", "accepted: processes are reaped in the guest"),
        ],
        FailurePrefix = "katalike run failed",
        Description = """
            The run command creates an instance of a container for a bundle and starts it. Without --detach it lasts as
            long as the container, exits with the container's status, and removes the container.
            """,
    };
}
