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
internal sealed class SandboxDirectory(string path) : IDisposable
{
    public const string TaskSocket = "task.sock", StdioSocket = "stdio.sock";

    private FileDescriptor? _owned;

    public string Path { get; } = path;
    public string Shared => $"{Path}/shared";
    public string ConsoleLog => $"{Path}/console.log";
    public string QemuLog => $"{Path}/qemu.log";
    public string VirtiofsdLog => $"{Path}/virtiofsd.log";

    /// <summary>The directory, for sockets: bound and dialled through it, so that the path may be long.</summary>
    public FileDescriptor Handle => _owned ?? throw new InvalidOperationException("the directory is not owned");

    /// <summary>Makes the directory, or takes over one that was left behind, and owns it until disposed.</summary>
    /// <exception cref="RuntimeException">A living process owns it.</exception>
    public void Acquire()
    {
        while (true)
        {
            StateRoot.Make(Path);
            _owned = TryLock() ?? throw new RuntimeException($"sandbox {System.IO.Path.GetFileName(Path)} is already running");
            if (IsCurrent(_owned))
                break;
            // The owner before us removed it after we had opened it.
            _owned.Dispose();
        }
        Clear();
        StateRoot.Make(Shared);
    }

    /// <summary>Whether a living process owns it.</summary>
    public bool IsOwned()
    {
        if (!Directory.Exists(Path))
            return false;
        using var locked = TryLock();
        return locked is null;
    }

    /// <summary>Removes what a dead owner left; false when the owner lives.</summary>
    public bool RemoveStale()
    {
        if (!Directory.Exists(Path))
            return true;
        using var locked = TryLock();
        if (locked is null)
            return false;
        if (IsCurrent(locked))
            Directory.Delete(Path, recursive: true);
        return true;
    }

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

    /// <summary>Removes the directory; the owner's last act.</summary>
    public void Remove()
    {
        if (_owned is not null && IsCurrent(_owned))
            Directory.Delete(Path, recursive: true);
    }

    public void Dispose() => _owned?.Dispose();

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

    private bool IsCurrent(FileDescriptor directory) =>
        File.ResolveLinkTarget(directory.ProcPath, returnFinalTarget: false)?.FullName == Path;
}
