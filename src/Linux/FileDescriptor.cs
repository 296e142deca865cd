using System.Runtime.InteropServices;

namespace KataLike.Linux;

/// <summary>An owned descriptor, closed on exec. Descriptors leave this library in no other form.</summary>
public sealed class FileDescriptor : SafeHandle
{
    public FileDescriptor() : base(-1, ownsHandle: true) { }

    public FileDescriptor(int descriptor, bool ownsHandle = true) : base(-1, ownsHandle) => SetHandle(descriptor);

    public override bool IsInvalid => handle < 0;

    /// <summary>
    /// The number, for the calls of this library and for the arguments of a child. -1 once it was closed (EBADF): the number
    /// may be another file's by then.
    /// </summary>
    public int Number => IsClosed ? -1 : (int)handle;

    /// <summary>A descriptor for the same open file, with close-on-exec set.</summary>
    public FileDescriptor Duplicate()
    {
        var copy = Libc.fcntl(Number, Libc.F_DUPFD_CLOEXEC, 3);
        return new FileDescriptor(Libc.Check(copy, "fcntl", "F_DUPFD_CLOEXEC"));
    }

    /// <summary>Makes a number name the same open file, whatever it named before; not closed on exec.</summary>
    public void Replace(int number) => Libc.Check(Libc.dup2(Number, number), "dup2", $"to {number}");

    /// <summary>The path by which the kernel names this open file, at most 24 bytes long.</summary>
    public string ProcPath => $"/proc/self/fd/{Number}";

    protected override bool ReleaseHandle() => Libc.close((int)handle) == 0;
}
