using System.Text.Json;
using System.Text.Json.Serialization;
using KataLike.Linux;

namespace KataLike.Runtime.Sandboxes;

/// <summary>sandbox.json: for people and for clean-up. HypervisorPid is 0 until QEMU runs.</summary>
internal sealed record SandboxRecord(int Pid, int HypervisorPid);

[JsonSerializable(typeof(SandboxRecord))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
internal sealed partial class SandboxJson : JsonSerializerContext;

/// <summary>
/// A sandbox's directory. Its owner is the process that holds the lock (flock) on the directory itself, which the kernel
/// lets go when that process dies: a directory that nobody holds is left over and may be removed.
/// </summary>
/// <remarks>
/// Whoever takes, tests or removes holds the lock of the directory above meanwhile (the gate). So a lock that is found held is
/// an owner's, never that of another one who only looks; and what is looked at does not change until it is acted on.
/// </remarks>
internal sealed class SandboxDirectory(string path) : IDisposable
{
    public const string TaskSocket = "task.sock", StdioSocket = "stdio.sock";

    private const int HypervisorEndMilliseconds = 2000;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    private FileDescriptor? _owned;

    public string Path { get; } = path;
    public string Shared => $"{Path}/shared";
    public string ConsoleLog => $"{Path}/console.log";
    public string QemuLog => $"{Path}/qemu.log";
    public string VirtiofsdLog => $"{Path}/virtiofsd.log";

    /// <summary>The directory, for sockets: bound and dialled through it, so that the path may be long.</summary>
    public FileDescriptor Handle => _owned ?? throw new InvalidOperationException("the directory is not owned");

    /// <summary>Whether it is this object that owns it.</summary>
    public bool IsHeld => _owned is not null;

    /// <summary>Makes the directory, or takes over one that was left behind, and owns it until disposed.</summary>
    /// <param name="patience">For an owner that is ending.</param>
    /// <exception cref="RuntimeException">A living process owns it.</exception>
    public void Acquire(TimeSpan patience = default)
    {
        for (var waited = TimeSpan.Zero; !TryAcquire(); waited += Pause)
        {
            if (waited >= patience)
                throw new RuntimeException($"sandbox {System.IO.Path.GetFileName(Path)} is already running");
            Thread.Sleep(Pause);
        }
    }

    /// <summary>Becomes what the other one is, which this process owns too: its content stays, and its name is this one's.</summary>
    /// <returns>False: they are of different file systems, and nothing has changed.</returns>
    public bool TryTakeOver(SandboxDirectory other)
    {
        using var gate = EnterGate();
        Directory.Delete(Path, recursive: true);
        Dispose();
        var taken = TryMove(other.Path, Path);
        if (taken)
        {
            (_owned, other._owned) = (other._owned, null);
        }
        else
        {
            StateRoot.Make(Shared);
            _owned = TryLock();
        }
        Write(new SandboxRecord(Environment.ProcessId, 0));
        return taken;
    }

    private static bool TryMove(string from, string to)
    {
        try
        {
            Directory.Move(from, to);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Whether a living process owns it.</summary>
    public bool IsOwned()
    {
        if (!Directory.Exists(Path))
            return false;
        using var gate = EnterGate();
        if (!Directory.Exists(Path))
            return false;
        using var locked = TryLock();
        return locked is null;
    }

    /// <summary>Removes what a dead owner left; false when the owner lives.</summary>
    public bool RemoveStale() => Remove(_ => false);

    /// <summary>Removes the directory. An owner that lives is killed before: what runs for it ends with it.</summary>
    /// <param name="patience">Milliseconds for the killed owner to end.</param>
    public void Destroy(int patience) => Remove(owner =>
    {
        if (owner is not null)
            Kill(owner, patience);
        return true;
    });

    public SandboxRecord? Read()
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllText($"{Path}/sandbox.json"), SandboxJson.Default.SandboxRecord);
        }
        catch (Exception error) when (error is IOException or JsonException)
        {
            return null;
        }
    }

    public void Write(SandboxRecord record)
    {
        File.WriteAllText($"{Path}/sandbox.json.new", JsonSerializer.Serialize(record, SandboxJson.Default.SandboxRecord));
        File.Move($"{Path}/sandbox.json.new", $"{Path}/sandbox.json", overwrite: true);
    }

    /// <summary>Listens on a socket of the directory, mode 0600.</summary>
    public FileDescriptor Listen(string name)
    {
        var listener = UnixSockets.Listen(Handle, name);
        File.SetUnixFileMode($"{Path}/{name}", UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return listener;
    }

    /// <summary>Removes the directory and lets it go; the owner's last act.</summary>
    public void Remove()
    {
        if (_owned is null)
            return;
        using var gate = EnterGate();
        if (Directory.Exists(Path))
            Directory.Delete(Path, recursive: true);
        Dispose();
    }

    public void Dispose()
    {
        _owned?.Dispose();
        _owned = null;
    }

    private bool TryAcquire()
    {
        using var gate = EnterGate();
        StateRoot.Make(Path);
        if (TryLock() is not { } locked)
            return false;
        _owned = locked;
        CleanUpAfterOwner();
        Clear();
        StateRoot.Make(Shared);
        Write(new SandboxRecord(Environment.ProcessId, 0));
        return true;
    }

    /// <param name="overOwner">
    /// Asked where there is an owner, with its process if that is still there; true: remove. Under the gate an owner's record
    /// is its own, for it was written before the gate was left.
    /// </param>
    private bool Remove(Func<FileDescriptor?, bool> overOwner)
    {
        if (!Directory.Exists(Path))
            return true;
        using var gate = EnterGate();
        if (!Directory.Exists(Path))
            return true;
        using var locked = TryLock();
        if (locked is null)
        {
            using var owner = Read() is { Pid: > 1 } record && record.Pid != Environment.ProcessId ? Processes.TryOpen(record.Pid) : null;
            if (!overOwner(owner))
                return false;
        }
        CleanUpAfterOwner();
        Directory.Delete(Path, recursive: true);
        return true;
    }

    private static void Kill(FileDescriptor process, int patience)
    {
        Processes.Signal(process, Signals.SIGKILL);
        AwaitEnd(process, patience);
    }

    /// <summary>What is outside of the directory. QEMU's interfaces are free when it has gone.</summary>
    private void CleanUpAfterOwner()
    {
        AwaitHypervisor();
        Network.NetworkRecord.CleanUp(Path);
    }

    /// <summary>The kernel kills QEMU when its owner ends, which takes some milliseconds.</summary>
    private void AwaitHypervisor()
    {
        if (Read() is not { HypervisorPid: > 1 and var pid })
            return;
        using var process = Processes.TryOpen(pid);
        if (process is null)
            return;
        try
        {
            // By now the number may be somebody else's.
            if (KernelFiles.Read($"/proc/{pid}/comm").StartsWith("qemu", StringComparison.Ordinal))
                AwaitEnd(process, HypervisorEndMilliseconds);
        }
        catch (LinuxException)
        {
            // It has gone meanwhile.
        }
    }

    private static void AwaitEnd(FileDescriptor process, int patience)
    {
        using var epoll = new Epoll();
        epoll.Add(process, PollEvents.Readable, 0);
        epoll.Wait(patience);
    }

    private FileDescriptor EnterGate()
    {
        var parent = System.IO.Path.GetDirectoryName(Path) ?? "/";
        StateRoot.Make(parent);
        var gate = Files.Open(parent, Files.ReadOnly | Files.Directory);
        FileLock.Acquire(gate);
        return gate;
    }

    private void Clear()
    {
        foreach (var entry in new DirectoryInfo(Path).EnumerateFileSystemInfos())
        {
            if (entry is DirectoryInfo { LinkTarget: null } directory)
                directory.Delete(recursive: true);
            else
                entry.Delete();
        }
    }

    /// <summary>The locked directory; null when another process has it.</summary>
    private FileDescriptor? TryLock()
    {
        var directory = Files.Open(Path, Files.ReadOnly | Files.Directory | Files.NoFollow);
        if (FileLock.TryAcquire(directory))
            return directory;
        directory.Dispose();
        return null;
    }
}
