namespace KataLike.Benchmarks;

/// <summary>A place for a state root, in memory as callers have it, and for bundles.</summary>
internal sealed class Place : IDisposable
{
    private readonly DirectoryInfo _memory = Directory.CreateDirectory($"{(Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath())}/kl-bench-{Path.GetRandomFileName()}");
    private readonly DirectoryInfo _disk = Directory.CreateTempSubdirectory("kl-bench-");

    public string Root => $"{_memory.FullName}/root";

    public string Bundle => $"{_disk.FullName}/bundle";

    public string Rootfs => $"{_disk.FullName}/rootfs";

    public void Dispose()
    {
        _memory.Delete(recursive: true);
        _disk.Delete(recursive: true);
    }
}
