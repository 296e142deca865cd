using KataLike.Contract.Oci;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Cli;

/// <summary>A bundle whose config.json has been read and checked.</summary>
/// <param name="Path">Absolute.</param>
/// <param name="Group">Which containers share its sandbox; null: it stands alone.</param>
internal sealed record Bundle(string Path, Spec Spec, string Rootfs, string? Group)
{
    private const string ContainerType = "io.kubernetes.cri.container-type", CrioContainerType = "io.kubernetes.cri-o.ContainerType";

    /// <summary>It belongs into a sandbox that must be there already.</summary>
    public bool NeedsSandbox =>
        Spec.Annotations is { } annotations &&
        (annotations.GetValueOrDefault(ContainerType) ?? annotations.GetValueOrDefault(CrioContainerType)) == "container";

    /// <exception cref="RuntimeException">What is missing or wrong in it, by path.</exception>
    public static Bundle Open(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        if (!Directory.Exists(path))
            throw new RuntimeException($"chdir {path}: {(File.Exists(path) ? "not a directory" : "no such file or directory")}");
        var config = $"{path}/config.json";
        var bytes = Read(config);
        Spec spec;
        try
        {
            spec = Spec.Parse(bytes);
        }
        catch (OciException e)
        {
            throw new RuntimeException($"{config}: {e.Message}", cause: e);
        }
        var rootfs = System.IO.Path.GetFullPath(spec.Root!.Path, path);
        if (!Directory.Exists(rootfs))
            throw new RuntimeException($"invalid rootfs: stat {rootfs}: {(File.Exists(rootfs) ? "not a directory" : "no such file or directory")}");
        var group = SandboxGroup.Of(bytes, "");
        return new Bundle(path, spec, rootfs, group.Length > 0 ? group : null);
    }

    private static byte[] Read(string config)
    {
        try
        {
            return File.ReadAllBytes(config);
        }
        catch (FileNotFoundException e)
        {
            throw new RuntimeException($"JSON specification file {config} not found", cause: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"cannot read {config}: {e.Message}", cause: e);
        }
    }
}
