using System.Globalization;
using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>The process that exec adds: a file's, or the container's own with other arguments and what the options change.</summary>
internal static class ExecProcess
{
    public static IReadOnlyList<Flag> Flags { get; } =
    [
        Flag.Text("console-socket", "path to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's pseudoterminal"),
        Flag.Text("pidfd-socket", "path to an AF_UNIX socket which will receive a file descriptor referencing the stub process"),
        Flag.Text("cwd", "current working directory in the container"),
        Flag.TextList("env, e", "set environment variables"),
        Flag.Boolean("tty, t", "allocate a pseudo-TTY"),
        Flag.Text("user, u", "UID (format: <uid>[:<gid>])"),
        Flag.TextList("additional-gids, g", "additional gids"),
        Flag.Text("process, p", "path to the process.json"),
        Flag.Boolean("detach, d", "detach from the container's process"),
        Flag.Text("pid-file", "specify the file to write the process id to"),
        Flag.Text("process-label", "set the asm process label for the process commonly used with selinux"),
        Flag.Text("apparmor", "set the apparmor profile for the process"),
        Flag.Boolean("no-new-privs", "set the no new privileges value for the process"),
        Flag.TextList("cap, c", "add a capability to the bounding set for the process"),
        Flag.Integer("preserve-fds", "refused unless 0: descriptors cannot enter the virtual machine"),
        Flag.Text("cgroup", "refused: the process runs in the container's cgroup"),
        Flag.Boolean("ignore-paused", "accepted: a paused container takes no exec"),
    ];

    /// <exception cref="RuntimeException">The file or an option is not valid.</exception>
    public static ProcessSpec From(Options options, string bundle)
    {
        if (options.Has("cgroup"))
            throw new RuntimeException("--cgroup is not supported: the process runs in the container's cgroup");
        var arguments = options.Positionals.Skip(1).ToList();
        if (options.Text("process") is { } file)
            return Read(file);
        if (arguments.Count == 0)
            throw new RuntimeException("process args cannot be empty");
        return Change(Bundle.Open(bundle).Spec.Process!, options) with { Args = arguments };
    }

    private static ProcessSpec Read(string file)
    {
        try
        {
            return ProcessSpec.Parse(File.ReadAllBytes(file));
        }
        catch (Exception e) when (e is OciException or IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"{file}: {e.Message}", cause: e);
        }
    }

    private static ProcessSpec Change(ProcessSpec process, Options options) => process with
    {
        Terminal = options.Boolean("tty"),
        ConsoleSize = null,
        Cwd = options.Text("cwd") ?? process.Cwd,
        Env = [.. process.Env ?? [], .. options.TextList("env")],
        User = ChangeUser(process.User, options),
        SelinuxLabel = options.Text("process-label") ?? process.SelinuxLabel,
        ApparmorProfile = options.Text("apparmor") ?? process.ApparmorProfile,
        NoNewPrivileges = options.Has("no-new-privs") ? options.Boolean("no-new-privs") : process.NoNewPrivileges,
        Capabilities = Add(process.Capabilities, options.TextList("cap")),
    };

    private static User ChangeUser(User user, Options options)
    {
        if (options.Text("user") is { } text)
        {
            var parts = text.Split(':', 2);
            user = user with { Uid = Id(parts[0]), Gid = parts.Length > 1 ? Id(parts[1]) : user.Gid };
        }
        var groups = options.TextList("additional-gids").Select(Id).ToList();
        return groups.Count == 0 ? user : user with { AdditionalGids = [.. user.AdditionalGids ?? [], .. groups] };
    }

    private static Capabilities? Add(Capabilities? own, IReadOnlyList<string> added)
    {
        if (added.Count == 0)
            return own;
        own ??= new Capabilities();
        // Not inheritable: programs that the process executes would get them with the file's (CVE-2022-29162 of runc).
        return own with
        {
            Bounding = [.. own.Bounding ?? [], .. added],
            Effective = [.. own.Effective ?? [], .. added],
            Permitted = [.. own.Permitted ?? [], .. added],
            Ambient = [.. own.Ambient ?? [], .. added.Intersect(own.Inheritable ?? [])],
        };
    }

    private static uint Id(string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var id)
            ? id
            : throw new RuntimeException($"parsing {text} as a number for an id: invalid syntax");
}
