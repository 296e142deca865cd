using KataLike.EndToEnd.Tests.Containerd;
using KataLike.EndToEnd.Tests.Podman;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>A containerd and a Podman that hold the images that images/build-debian made.</summary>
public sealed class RealImages : IAsyncLifetime
{
    private readonly ContainerdDaemon _containerd = new();
    private readonly PodmanEngine _podman = new("overlay");
    private readonly ContainerdImages _byCtr;
    private readonly PodmanImages _byPodman;

    public RealImages() => (_byCtr, _byPodman) = (new(_containerd), new(_podman));

    /// <summary>Why nothing can be tested here; null when it can.</summary>
    public string? Missing => _containerd.Missing ?? _podman.Missing ??
        (File.Exists(Archive) ? null : "out/images/debian is not built: ./dev test, with a mirror that apt can reach");

    private static string Archive { get; } = Repository.Path("out/images/debian/images.tar");

    public async Task InitializeAsync()
    {
        if (Missing is not null)
            return;
        await _containerd.InitializeAsync();
        await _podman.InitializeAsync();
        await _byCtr.ImportAsync(Archive);
        await _byPodman.ImportAsync(Repository.Path("out/images/debian/oci"));
    }

    public async Task DisposeAsync()
    {
        if (Missing is not null)
            return;
        await _podman.DisposeAsync();
        await _containerd.DisposeAsync();
    }

    internal IImageEngine Engine(string name) => name == "podman" ? _byPodman : _byCtr;
}
