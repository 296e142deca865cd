using System.Text.Json;
using System.Text.Json.Serialization;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli;

/// <summary>
/// containers/ID/state.json: what the command line must know of a container that it made. Only the command line writes
/// it; how the container ended is in exit.json beside it, which the sandbox process writes while it lives: no file has two writers.
/// </summary>
internal sealed record ContainerState
{
    public required string Id { get; init; }

    public required string Bundle { get; init; }

    /// <summary>Absolute path.</summary>
    public required string Rootfs { get; init; }

    public required string Sandbox { get; init; }

    public required DateTimeOffset Created { get; init; }

    public IReadOnlyDictionary<string, string>? Annotations { get; init; }

    /// <summary>The user who made it.</summary>
    public uint Owner { get; init; }

    /// <summary>Hooks to run once the container has been deleted.</summary>
    public IReadOnlyList<Hook>? Poststop { get; init; }

    /// <summary>The stub's; 0 until the container has been created.</summary>
    public int Pid { get; init; }

    /// <summary>Takes the id: makes the container's directory.</summary>
    /// <returns>To be held until the container has been made, and is saved with its pid: others see by it that it will be.</returns>
    /// <exception cref="RuntimeException">The id is in use.</exception>
    public FileDescriptor Reserve(StateRoot root)
    {
        var directory = root.ContainerDirectory(Id);
        StateRoot.Make(root.Path);
        StateRoot.Make(root.ContainersDirectory);
        if (!Directories.TryMake(directory, 0x1c0 /* 0700 */))
            throw new RuntimeException("container with given ID already exists");
        var making = OpenDirectory(root);
        FileLock.Acquire(making);
        Save(root);
        return making;
    }

    /// <summary>Whether somebody is about to make it.</summary>
    public bool IsBeingMade(StateRoot root)
    {
        if (Pid != 0)
            return false;
        try
        {
            using var making = OpenDirectory(root);
            return !FileLock.TryAcquire(making);
        }
        catch (LinuxException e) when (e.Errno == Errno.ENOENT)
        {
            return false;
        }
    }

    /// <summary>The container as it is once it has been made, for which this waits where somebody is about to.</summary>
    /// <exception cref="RuntimeException">There is no container of this id, or it could not be made.</exception>
    public static ContainerState LoadMade(StateRoot root, string id)
    {
        var state = Load(root, id);
        if (state.Pid != 0)
            return state;
        try
        {
            using var making = state.OpenDirectory(root);
            FileLock.Acquire(making);
        }
        catch (LinuxException e) when (e.Errno == Errno.ENOENT)
        {
        }
        return Load(root, id);
    }

    public void Save(StateRoot root) =>
        Replace($"{root.ContainerDirectory(Id)}/state.json", JsonSerializer.Serialize(this, CliJson.Default.ContainerState));

    /// <exception cref="RuntimeException">There is no container of this id.</exception>
    public static ContainerState Load(StateRoot root, string id) =>
        TryLoad(root, id) ?? throw new RuntimeException("container does not exist");

    /// <summary>Null where there is none. One that was never completed has the id and nothing else.</summary>
    public static ContainerState? TryLoad(StateRoot root, string id)
    {
        var directory = root.ContainerDirectory(id);
        if (!Directory.Exists(directory))
            return null;
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes($"{directory}/state.json"), CliJson.Default.ContainerState);
        }
        catch (Exception e) when (e is FileNotFoundException or JsonException)
        {
            // Its creator died between mkdir and the first write: it can be shown and deleted.
            return new ContainerState
            {
                Id = id,
                Bundle = "",
                Rootfs = "",
                Sandbox = id,
                Created = Directory.GetCreationTimeUtc(directory),
            };
        }
        catch (DirectoryNotFoundException)
        {
            return null;
        }
    }

    public static IEnumerable<ContainerState> All(StateRoot root) =>
        !Directory.Exists(root.ContainersDirectory) ? [] :
            from path in Directory.GetDirectories(root.ContainersDirectory).Order(StringComparer.Ordinal)
            let state = TryLoad(root, Path.GetFileName(path))
            where state is not null
            select state;

    /// <summary>Writes down how the container ended: the sandbox process, or whoever had to end that.</summary>
    public static void RecordExit(StateRoot root, string containerId, ContainerExit exit)
    {
        var directory = root.ContainerDirectory(containerId);
        if (Directory.Exists(directory))
            Replace($"{directory}/exit.json", JsonSerializer.Serialize(exit, CliJson.Default.ContainerExit));
    }

    /// <summary>Null until the sandbox process has recorded it.</summary>
    public ContainerExit? Exit(StateRoot root)
    {
        try
        {
            return JsonSerializer.Deserialize(
                File.ReadAllBytes($"{root.ContainerDirectory(Id)}/exit.json"), CliJson.Default.ContainerExit);
        }
        catch (IOException)
        {
            return null;
        }
    }

    public void Remove(StateRoot root)
    {
        var directory = root.ContainerDirectory(Id);
        if (Directory.Exists(directory))
            Directory.Delete(directory, recursive: true);
    }

    private FileDescriptor OpenDirectory(StateRoot root) =>
        Files.Open(root.ContainerDirectory(Id), Files.ReadOnly | Files.Directory | Files.NoFollow);

    private static void Replace(string path, string text)
    {
        File.WriteAllText(path + ".new", text);
        File.Move(path + ".new", path, overwrite: true);
    }
}

/// <summary>How a container ended: 0 to 255, and when; if its machine was lost, why.</summary>
internal sealed record ContainerExit(uint Status, DateTimeOffset At, string? Loss = null)
{
    /// <summary>The sandbox process did not live to record an end.</summary>
    public const string Unexplained = "the sandbox process was killed";
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ContainerState))]
[JsonSerializable(typeof(ContainerExit))]
internal sealed partial class CliJson : JsonSerializerContext;
