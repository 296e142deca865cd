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
            return new Bundle(Path.GetFullPath(directory), config, Spec.Parse(config));
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
}
