using System.Reflection;
using Google.Protobuf;
using KataLike.Contract.Containerd.Bootstrap;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Shim;

/// <summary>
/// containerd-shim-katalike-v2: start and delete, as containerd runs them with the bundle as working directory.
/// Standard output carries the answer only, and standard error nothing unless the command fails: containerd reads both as one.
/// </summary>
internal static class ShimCommand
{
    private const string Name = "io.containerd.katalike.v2";

    public static async Task<int> RunAsync(string[] arguments)
    {
        try
        {
            Write(1, await AnswerAsync(ShimArguments.Parse(arguments)));
            return 0;
        }
        catch (Exception e)
        {
            Write(2, System.Text.Encoding.UTF8.GetBytes($"katalike: {e.Message}\n"));
            return (e as RuntimeException)?.ExitCode ?? 1;
        }
    }

    private static async Task<byte[]> AnswerAsync(ShimArguments arguments)
    {
        if (arguments.Version)
            return System.Text.Encoding.UTF8.GetBytes($"containerd-shim-katalike-v2:\n  Version:  {Version}\n");
        if (arguments.Info)
            return Info().ToByteArray();

        if (arguments.Namespace.Length == 0)
            throw new RuntimeException("shim namespace cannot be empty: give -namespace");
        if (arguments.Id.Length == 0)
            throw new RuntimeException("shim id cannot be empty: give -id");
        StateRoot.ValidateId(arguments.Namespace);
        StateRoot.ValidateId(arguments.Id);
        var bundle = Path.GetFullPath(arguments.Bundle is { Length: > 0 } given ? given : ".");
        switch (arguments.Action)
        {
            case "start":
                var bootstrap = Bootstrap.Parse(Cli.StandardStreams.ReadInput(), arguments, Environment.GetEnvironmentVariable);
                return bootstrap.Answer(ShimStart.Run(arguments, bootstrap, bundle));
            case "delete":
                return (await ShimDelete.RunAsync(arguments, bundle)).ToByteArray();
            default:
                throw new RuntimeException($"unknown action \"{arguments.Action}\": start or delete");
        }
    }

    /// <summary>The annotation tells containerd 2.2 and 2.3 which mounts of a root file system to leave to the shim.</summary>
    internal static RuntimeInfo Info() => new()
    {
        Name = Name,
        Version = new RuntimeVersion { Version = Version },
        Annotations = { ["containerd.io/runtime-allow-mounts"] = string.Join(',', LayeredMount.Transforms.Select(name => $"{name}/*").Concat(LayeredMount.Types)) },
    };

    private static string Version =>
        typeof(ShimCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>Not by FileStream: where the descriptor is a file, that writes at an offset of its own.</summary>
    private static void Write(int descriptor, ReadOnlySpan<byte> bytes)
    {
        using var output = new FileDescriptor(descriptor, ownsHandle: false);
        while (bytes.Length > 0)
            bytes = bytes[Files.Write(output, bytes)..];
    }
}
