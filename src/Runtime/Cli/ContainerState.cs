using System.Text.Json;
using System.Text.Json.Serialization;
using KataLike.Contract.Oci;
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
    /// <exception cref="RuntimeException">The id is in use.</exception>
    public void Reserve(StateRoot root)
    {
        var directory = root.ContainerDirectory(Id);
        StateRoot.Make(root.Path);
        StateRoot.Make(root.ContainersDirectory);
        if (!Linux.Directories.TryMake(directory, 0x1c0 /* 0700 */))
            throw new RuntimeException("container with given ID already exists");
        Save(root);
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
