using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>A containerd that holds the images that images/build-debian made.</summary>
public sealed class RealImages : IAsyncLifetime
{
    private const string Prefix = "localhost/real";

    private readonly ContainerdDaemon _containerd = new();

    /// <summary>Why nothing can be tested here; null when it can.</summary>
    public string? Missing => _containerd.Missing ?? (Archive is null ? "out/images/debian is not built: ./dev test, with a mirror that apt can reach" : null);

    private static string? Archive { get; } = File.Exists(Repository.Path("out/images/debian/images.tar")) ? Repository.Path("out/images/debian/images.tar") : null;

    public string Log => _containerd.Log;

    public async Task InitializeAsync()
    {
        if (Missing is not null)
            return;
        await _containerd.InitializeAsync();
        var imported = await CtrAsync("image", "import", "--snapshotter", "overlayfs", "--base-name", Prefix, Archive!);
        Assert.True(imported.ExitCode == 0, imported.ToString());
    }

    public Task DisposeAsync() => Missing is null ? _containerd.DisposeAsync() : Task.CompletedTask;

    internal Task<CommandResult> CtrAsync(params string[] arguments) => _containerd.CtrAsync(arguments);

    /// <summary>ctr run, with options before the image and the command after the id.</summary>
    internal Task<CommandResult> RunAsync(string runtime, string image, string id, string[] options, params string[] command) =>
        CtrAsync(["run", "--snapshotter", "overlayfs", "--runtime", runtime, .. options, $"{Prefix}:{image}", id, .. command]);

    internal IReadOnlyList<string> Leftovers(string id) => _containerd.Leftovers(id);
}
