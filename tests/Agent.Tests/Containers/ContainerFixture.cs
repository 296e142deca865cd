using System.Text;
using KataLike.Agent.Cgroups;
using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Tests.Containers;

/// <summary>Containers on this machine itself, from a busybox root file system, with a cgroup hierarchy of its own.</summary>
public sealed class ContainerFixture : IDisposable
{
    private static readonly string[] _applets = ["sh", "cat", "ls", "id", "mount", "echo", "stat", "hostname", "sleep", "readlink", "mknod", "ip", "tty", "stty", "env", "pwd", "grep", "touch", "kill", "true", "ps", "chmod", "dd"];

    private readonly List<string> _hierarchies = [];

    public ContainerFixture()
    {
        Directory = System.IO.Directory.CreateTempSubdirectory("katalike-containers-").FullName;
        if (Unavailable is not null)
            return;
        Cgroup = Path.Combine(FindHierarchy()!, Path.GetFileName(Directory));
        KernelFiles.MakeDirectory(Cgroup);
    }

    public string Directory { get; }

    internal string Cgroup { get; } = "";

    /// <summary>Why containers cannot be made here; null if they can.</summary>
    public static string? Unavailable =>
        Environment.UserName != "root" ? "needs root" : !File.Exists("/usr/bin/busybox") ? "needs busybox-static"
        : FindHierarchy() is null ? "needs a cgroup v2 hierarchy" : null;

    internal static string? FindHierarchy() =>
        new[] { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }.FirstOrDefault(path => File.Exists($"{path}/cgroup.controllers"));

    internal string MakeRootfs(Action<string>? change = null)
    {
        var root = System.IO.Directory.CreateTempSubdirectory("katalike-rootfs-").FullName;
        _hierarchies.Add(root);
        File.SetUnixFileMode(root, (UnixFileMode)0x1ed);
        foreach (var directory in new[] { "bin", "etc", "proc", "sys", "dev", "tmp", "root" })
            System.IO.Directory.CreateDirectory($"{root}/{directory}");
        File.Copy("/usr/bin/busybox", $"{root}/bin/busybox");
        foreach (var applet in _applets)
            File.CreateSymbolicLink($"{root}/bin/{applet}", "busybox");
        File.WriteAllText($"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
        change?.Invoke(root);
        return root;
    }

    /// <summary>The document of `runc spec`, without a terminal and with a writable root, running a shell script.</summary>
    internal static Spec SpecOf(string script) => Spec.Default() with
    {
        Process = Spec.Default().Process! with { Terminal = false, Args = ["/bin/sh", "-c", script] },
        Root = new Root { Path = "rootfs" },
    };

    internal ContainerRequest Request(Spec spec, string? rootfs = null, Stdio? stdio = null) => new()
    {
        Id = "c" + Guid.NewGuid().ToString("N")[..8],
        Spec = spec,
        Rootfs = rootfs ?? MakeRootfs(),
        MountSources = new Dictionary<int, string>(),
        Stdio = stdio ?? new Stdio(),
        Adopt = Adopt,
        Bundle = "/the/bundle",
    };

    /// <summary>There is no reaper here: each child is waited for.</summary>
    internal static Task<ProcessExit> Adopt(int pid)
    {
        var pidFd = Processes.Open(pid);
        return Task.Run(() =>
        {
            using (pidFd)
                return new ProcessExit(Processes.Wait(pidFd).Code, DateTimeOffset.UtcNow);
        });
    }

    internal KataLike.Agent.Containers.Containers Maker => new(new CgroupRoot(Cgroup));

    /// <summary>Runs a container to its end; gives what it wrote to standard output and error, and its status.</summary>
    internal (string Output, ExitStatus Status) Run(ContainerRequest request)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            Container container;
            using (write)
                container = Maker.Create(request with { Stdio = request.Stdio with { Output = write, Error = write } });
            using (container)
            {
                try
                {
                    container.Start(ContainerFixture.Adopt);
                    var output = ReadAll(read);
                    return (output, Processes.Wait(container.Process.PidFd));
                }
                finally
                {
                    container.Delete();
                }
            }
        }
    }

    internal (string Output, ExitStatus Status) Run(Spec spec, string? rootfs = null) => Run(Request(spec, rootfs));

    internal string Output(string script) => Run(SpecOf(script)).Output;

    internal static string ReadAll(FileDescriptor file)
    {
        var output = new MemoryStream();
        var buffer = new byte[4096];
        for (nint count; (count = Files.TryRead(file, buffer)) > 0;)
            output.Write(buffer, 0, (int)count);
        return Encoding.UTF8.GetString(output.ToArray());
    }

    public void Dispose()
    {
        foreach (var root in _hierarchies.Append(Directory))
            System.IO.Directory.Delete(root, recursive: true);
        if (Cgroup.Length > 0)
            KernelFiles.RemoveDirectory(Cgroup);
    }
}
