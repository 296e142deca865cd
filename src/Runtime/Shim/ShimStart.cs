using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Shim;

/// <summary>shim start: finds the sandbox process of the container's group, or starts it, and gives its address.</summary>
internal static class ShimStart
{
    private const int ListenerNumber = 3;
    private const int ReadyNumber = 4;

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
                Spawn(listener, SandboxArguments(arguments, bootstrap, bundle, group, address), bundle);
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
            "katalike", "sandbox", "--root", Root(arguments.Namespace), "--id", group, "--bundle", bundle,
            "--door", "shim", "--listen-fd", $"{ListenerNumber}", "--ready-fd", $"{ReadyNumber}",
            "--namespace", arguments.Namespace, "--containerd-ttrpc", bootstrap.TtrpcAddress,
            "--publish-binary", arguments.PublishBinary, "--address", address,
        ];
        if (arguments.Debug)
            command.Add("--debug");
        if (ConfigurationFile(bootstrap, bundle) is { } file)
            command.AddRange(["--config", file]);
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

    private static void Spawn(FileDescriptor listener, List<string> command, string bundle)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            using (write)
            using (var log = OpenLog(bundle))
            {
                List<(FileDescriptor, int)> descriptors = [(listener, ListenerNumber), (write, ReadyNumber)];
                if (log is not null)
                    descriptors.Add((log, 2));
                ChildProcess.Start(new ProcessStart
                {
                    Path = Environment.ProcessPath ?? "/proc/self/exe",
                    Arguments = command,
                    Environment = [.. Inherited()],
                    Descriptors = descriptors,
                    NewSession = true,
                    WorkingDirectory = "/",
                }).Dispose();
            }
            AwaitReady(read, bundle);
        }
    }

    private static IEnumerable<string> Inherited() =>
        from name in (string[])["PATH", "HOME", "TMPDIR"]
        let value = Environment.GetEnvironmentVariable(name)
        where value is not null
        select $"{name}={value}";

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

    private static void AwaitReady(FileDescriptor pipe, string bundle)
    {
        var line = new StringBuilder();
        Span<byte> buffer = stackalloc byte[512];
        for (nint count; (count = Files.TryRead(pipe, buffer)) > 0;)
            line.Append(Encoding.UTF8.GetString(buffer[..(int)count]));
        var answer = line.ToString().TrimEnd('\n');
        if (answer == "ok")
            return;
        throw new RuntimeException(answer.StartsWith("error: ", StringComparison.Ordinal)
            ? answer["error: ".Length..]
            : $"the sandbox process ended before it was ready: see the log of containerd, bundle {bundle}");
    }

    /// <summary>containerd finds the sandbox again by this file after its own restart.</summary>
    private static void WriteAddress(string bundle, string address)
    {
        var partial = Path.Combine(bundle, ".address");
        File.WriteAllText(partial, address);
        File.Move(partial, Path.Combine(bundle, "address"), overwrite: true);
    }
}
