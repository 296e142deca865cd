using System.Buffers.Binary;

namespace KataLike.Linux;

/// <summary>A file that is a block device while it is mounted or this object lives (loop(4)).</summary>
public sealed unsafe class LoopDevice : IDisposable
{
    private const int MaxTries = 16, ConfigSize = 304;

    private readonly FileDescriptor _device;

    private LoopDevice(FileDescriptor device, string path) => (_device, Path) = (device, path);

    public string Path { get; }

    /// <exception cref="LinuxException">There are no loop devices here, or the file cannot be opened.</exception>
    public static LoopDevice Attach(string file, bool readOnly)
    {
        using var backing = Files.Open(file, readOnly ? Files.ReadOnly : Files.ReadWrite);
        using var control = Files.Open("/dev/loop-control", Files.ReadWrite);
        for (var tries = 0; ; tries++)
        {
            var path = $"/dev/loop{Libc.Check(Libc.ioctl(control.Number, Libc.LOOP_CTL_GET_FREE, null), "ioctl", "LOOP_CTL_GET_FREE")}";
            var device = Files.Open(path, readOnly ? Files.ReadOnly : Files.ReadWrite);
            if (Configure(device, backing, readOnly))
                return new LoopDevice(device, path);
            device.Dispose();
            if (Libc.LastError != Errno.EBUSY || tries == MaxTries)
                throw new LinuxException(Libc.LastError, "ioctl", $"LOOP_CONFIGURE {file}");
            // Somebody else has taken it meanwhile.
        }
    }

    private static bool Configure(FileDescriptor device, FileDescriptor backing, bool readOnly)
    {
        // struct loop_config: the file (u32), and struct loop_info64 at 8 with its flags (u32) at 52.
        Span<byte> config = stackalloc byte[ConfigSize];
        config.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(config, (uint)backing.Number);
        BinaryPrimitives.WriteUInt32LittleEndian(config[60..], (uint)(Libc.LO_FLAGS_AUTOCLEAR | (readOnly ? Libc.LO_FLAGS_READ_ONLY : 0)));
        // SAFETY: the kernel reads ConfigSize bytes.
        fixed (byte* pointer = config)
            return Libc.ioctl(device.Number, Libc.LOOP_CONFIGURE, pointer) == 0;
    }

    public void Dispose() => _device.Dispose();
}

internal static unsafe partial class Libc
{
    internal const nuint LOOP_CTL_GET_FREE = 0x4c82, LOOP_CONFIGURE = 0x4c0a;
    internal const int LO_FLAGS_READ_ONLY = 1, LO_FLAGS_AUTOCLEAR = 4;
}
