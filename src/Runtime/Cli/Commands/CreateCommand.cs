namespace KataLike.Runtime.Cli.Commands;

internal static class CreateCommand
{
    public static Command Command { get; } = new("create", "create a container", invocation => ContainerCreation.RunAsync(invocation, start: false))
    {
        Flags = ContainerCreation.Flags,
        FailurePrefix = "katalike create failed",
        Description = """
            The create command creates an instance of a container for a bundle: a directory with a specification file
            named "config.json" and a root filesystem. It boots the container's virtual machine, unless the annotations
            in config.json place the container into a sandbox that runs already. The id must be unique below --root.
            """,
    };
}
