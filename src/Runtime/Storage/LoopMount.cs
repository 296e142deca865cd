using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>Mounts whose option "loop" says that the source is a file. The devices go with the mount.</summary>
internal static class LoopMount
{
    private const string Option = "loop", Device = "device=";

    /// <summary>On a thread that has left the process's mount namespace.</summary>
    /// <exception cref="LinuxException">A device cannot be had, or the kernel refuses the mount.</exception>
    public static void Mount(RootfsMount mount, string place)
    {
        if (!mount.Options.Contains(Option))
        {
            MountNamespace.Mount(mount.Source, place, mount.Type, mount.Options);
            return;
        }
        var devices = new List<LoopDevice>();
        var readOnly = mount.Options.Contains("ro");
        string Attach(string file)
        {
            devices.Add(LoopDevice.Attach(file, readOnly));
            return devices[^1].Path;
        }
        try
        {
            // EROFS names the files with its data this way.
            MountNamespace.Mount(Attach(mount.Source), place, mount.Type, [.. mount.Options.Where(option => option != Option).Select(option =>
                option.StartsWith(Device, StringComparison.Ordinal) ? Device + Attach(option[Device.Length..]) : option)]);
        }
        finally
        {
            devices.ForEach(device => device.Dispose());
        }
    }
}
