using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Shim;

/// <summary>shim start: finds the sandbox process of the container's group, or starts it, and gives its address.</summary>
internal static class ShimStart
{
    private const int ListenerNumber = 3;

    /// <exception cref="RuntimeException">The sandbox process did not come up.</exception>
    public static string Run(ShimArguments arguments, Bootstrap bootstrap, string bundle)
    {
        // containerd's Sandbox API makes sandboxes that have no specification.
        var group = (File.Exists(PodBundle.PathIn(bundle)) ? Bundle.Load(bundle).Group : null) ?? arguments.Id;
        StateRoot.ValidateId(group);
        var address = ShimAddress.For(arguments.Address, arguments.Namespace, group, bootstrap.SocketDirectory);
        using var listener = ShimAddress.Listen(address);
        if (listener is not null)
        {
            try
            {
                using var log = OpenLog(bundle);
                SandboxProcess.Start(
                    ConfigurationFile(bootstrap, bundle), SandboxArguments(arguments, bootstrap, bundle, group, address),
                    log is null ? [(listener, ListenerNumber)] : [(listener, ListenerNumber), (log, 2)],
                    $"the sandbox process ended before it was ready: see the log of containerd, bundle {bundle}");
            }
            catch
            {
                ShimAddress.Remove(address);
                throw;
            }
        }
        WriteAddress(bundle, address);
        return address;
    }

    public static string Root(string space) => $"/run/katalike/shim/{space}";

    private static List<string> SandboxArguments(
        ShimArguments arguments, Bootstrap bootstrap, string bundle, string group, string address)
    {
        List<string> command =
        [
            "--root", Root(arguments.Namespace), "--id", group, "--bundle", bundle,
            "--door", "shim", "--listen-fd", $"{ListenerNumber}",
            "--namespace", arguments.Namespace, "--containerd-ttrpc", bootstrap.TtrpcAddress,
            "--publish-binary", arguments.PublishBinary, "--address", address,
        ];
        if (arguments.Debug)
            command.Add("--debug");
        return command;
    }

    /// <summary>The file that containerd's options name, or one in the bundle with the body that they carry.</summary>
    private static string? ConfigurationFile(Bootstrap bootstrap, string bundle)
    {
        if (bootstrap.Options is { ConfigPath.Length: > 0 } named)
            return named.ConfigPath;
        if (bootstrap.Options is not { ConfigBody.Length: > 0 } carried)
            return null;
        var file = Path.Combine(bundle, "katalike.toml");
        File.WriteAllBytes(file, carried.ConfigBody.ToByteArray());
        return file;
    }

    /// <summary>The FIFO that containerd reads; non-blocking, so that nobody ever waits for its reader. Null where there is none.</summary>
    private static FileDescriptor? OpenLog(string bundle)
    {
        try
        {
            return Files.Open(Path.Combine(bundle, "log"), Files.WriteOnly | Files.NonBlocking);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.ENXIO)
        {
            return null;
        }
    }

    /// <summary>containerd finds the sandbox again by this file after its own restart.</summary>
    private static void WriteAddress(string bundle, string address)
    {
        var partial = Path.Combine(bundle, ".address");
        File.WriteAllText(partial, address);
        File.Move(partial, Path.Combine(bundle, "address"), overwrite: true);
    }
}
