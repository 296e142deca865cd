using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>A bundle on the host: its directory, config.json byte for byte, and what that says.</summary>
internal sealed record Bundle(string Directory, byte[] Config, Spec Spec)
{
    /// <summary>What fits a message to the agent with room to spare.</summary>
    private const long MaxConfig = 3 << 20;

    /// <exception cref="RuntimeException">There is none, or config.json is not valid: names the JSON path.</exception>
    public static Bundle Load(string directory)
    {
        var path = Path.Combine(directory, "config.json");
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxConfig })
                throw new RuntimeException($"{path}: larger than {MaxConfig >> 20} MiB");
            var config = File.ReadAllBytes(path);
            var spec = Spec.Parse(config);
            RefuseHostHooks(path, spec.Hooks);
            return new Bundle(Path.GetFullPath(directory), config, spec);
        }
        catch (OciException error)
        {
            throw new RuntimeException($"{path}: {error.Message}", cause: error);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new RuntimeException($"JSON specification file {path} not found", cause: error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"{path}: {error.Message}", cause: error);
        }
    }

    /// <summary>A hook that is not run would be a promise broken in silence. The agent refuses those of the guest.</summary>
    private static void RefuseHostHooks(string path, Hooks? hooks)
    {
        var named = new (string Name, IReadOnlyList<Hook>? Hooks)[]
        {
            ("prestart", hooks?.Prestart), ("createRuntime", hooks?.CreateRuntime),
            ("poststart", hooks?.Poststart), ("poststop", hooks?.Poststop),
        };
        foreach (var (name, list) in named)
        {
            if (list is { Count: > 0 })
                throw new RuntimeException($"{path}: $.hooks.{name}: hooks are not supported yet, remove them");
        }
    }
}
