using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;

namespace KataLike.Linux;

/// <summary>
/// A process that stood still once, in a file: the system calls that make one like it (<see cref="SystemCallScript"/>), and the pages that it had
/// written, which its copies share until they write them. <see cref="ProcessCapture"/> makes them.
/// </summary>
/// <remarks>
/// A copy begins with the descriptors that it is given, and has all that the first one had made for itself: memory at the same addresses,
/// threads, signal handlers, filters of system calls. What others had of the first, like the other end of a socket, is not its.
/// </remarks>
public static class ProcessImage
{
    /// <summary>Of the beginning of an image, which is all that <see cref="Start"/> reads itself, bytes.</summary>
    public const int HeadSize = SystemCallScript.Size;

    /// <summary>Descriptors that a copy cannot be given: it needs them itself until it is whole.</summary>
    public const int FirstReserved = SystemCallScript.Descriptor;

    internal const int FileNumber = SystemCallScript.Descriptor + 1, LoaderNumber = SystemCallScript.Descriptor + 2;

    // In the script's head: struct prctl_mm_map, where the conditions are (offset, length), the script's checksum, the entry before which
    // the process's memory is whole, and the lowest descriptor that it has not.
    internal const int MapSize = 104, ConditionsField = 104;
    private const int SumField = 112, WholeField = 120, FreeField = 124;

    /// <summary>Files' memory that is no farther apart is watched as one, with what is between, bytes.</summary>
    private const ulong Nearby = 1 << 20;

    /// <summary>The kernel's own areas of a process.</summary>
    internal static readonly string[] KernelAreas = ["[vvar]", "[vvar_vclock]", "[vdso]"];

    /// <summary>What must be the same for a copy to be possible: the kernel, the processor, and the files that the process had mapped.</summary>
    private static string Conditions(IEnumerable<string> files)
    {
        var text = new StringBuilder();
        text.Append(KernelFiles.Read("/proc/version"));
        foreach (var line in HostProcessor.Model())
            text.Append(line).Append('\n');
        foreach (var path in files)
        {
            var file = new FileInfo(path);
            text.Append(CultureInfo.InvariantCulture, $"{path} {(file.Exists ? file.Length : -1)} {file.LastWriteTimeUtc.Ticks}\n");
        }
        return text.ToString();
    }

    /// <summary>The image of nothing, where a process could not be captured, while the host is as it is.</summary>
    public static byte[] Empty()
    {
        var script = new SystemCallScript();
        AddConditions(script, []);
        return Finish(script);
    }

    internal static byte[] Finish(SystemCallScript script)
    {
        var bytes = script.Finish();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(SumField), Sum(bytes));
        return bytes;
    }

    /// <summary>CRC-32C of all but the sum itself: what a script says is done before anybody has looked at the rest of the image.</summary>
    private static uint Sum(ReadOnlySpan<byte> script)
    {
        var sum = 0u;
        for (var place = 0; place < script.Length; place += sizeof(ulong))
            sum = place == SumField ? sum : BitOperations.Crc32C(sum, BinaryPrimitives.ReadUInt64LittleEndian(script[place..]));
        return sum;
    }

    /// <summary>Says in a script that from here on all memory is there.</summary>
    /// <param name="free">The lowest descriptor that the process has not.</param>
    internal static void MarkWhole(SystemCallScript script, int free)
    {
        BinaryPrimitives.WriteInt32LittleEndian(script.Head[WholeField..], script.Length);
        BinaryPrimitives.WriteInt32LittleEndian(script.Head[FreeField..], free);
    }

    /// <summary>
    /// Another beginning for an image: copies have those pages when they begin, and of others no more than they come to use.
    /// </summary>
    /// <remarks>
    /// By itself the kernel maps up to 16 pages of a file when one is used (fault-around), which counts as the process's memory. It does not where
    /// a userfaultfd(2) watches for writes. This one has nothing to watch; the kernel (since Linux 6.7) answers it without anybody's help.
    /// Where that is not to be had, the pages around come as ever.
    /// </remarks>
    /// <param name="head">The first <see cref="HeadSize"/> bytes of the image, as it was captured.</param>
    /// <exception cref="InvalidDataException">There is no room for so many.</exception>
    public static byte[] Foresee(ReadOnlySpan<byte> head, WorkingSet pages)
    {
        var script = new SystemCallScript(head);
        var ofFiles = new List<(ulong Start, ulong Length)>();
        var bytes = head.ToArray();
        for (var i = 0; i < script.Length; i++)
        {
            var entry = SystemCallScript.At(bytes, i);
            if (entry.Number == Libc.SYS_mmap && (entry[3] & (Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS)) == Libc.MAP_PRIVATE)
                ofFiles.Add((entry[0], entry[1]));
        }
        ofFiles.Sort();
        PageRuns.Merge(ofFiles, Nearby);
        script.Insert(BinaryPrimitives.ReadInt32LittleEndian(head[WholeField..]), () =>
        {
            var descriptor = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(FreeField));
            script.Try(Libc.SYS_userfaultfd, Libc.O_CLOEXEC | Libc.UFFD_USER_MODE_ONLY);
            // struct uffdio_api: api, features, ioctls.
            const ulong features = Libc.UFFD_FEATURE_PAGEFAULT_FLAG_WP | Libc.UFFD_FEATURE_WP_UNPOPULATED | Libc.UFFD_FEATURE_WP_ASYNC;
            script.Try(Libc.SYS_ioctl, descriptor, Libc.UFFDIO_API, script.Place(Libc.UFFD_API, features, 0));
            // struct uffdio_register: range.start, range.len, mode, ioctls.
            foreach (var (start, length) in ofFiles)
                script.Try(Libc.SYS_ioctl, descriptor, Libc.UFFDIO_REGISTER, script.Place(start, length, Libc.UFFDIO_REGISTER_MODE_WP, 0));
            foreach (var (start, length) in pages.Read)
                script.Try(Libc.SYS_madvise, start, length, Libc.MADV_POPULATE_READ);
            foreach (var (start, length) in pages.Written)
                script.Try(Libc.SYS_madvise, start, length, Libc.MADV_POPULATE_WRITE);
        });
        return Finish(script);
    }

    /// <param name="head">The first <see cref="HeadSize"/> bytes of the image.</param>
    public static bool IsEmpty(ReadOnlySpan<byte> head) => SystemCallScript.Count(head) == 0;

    internal static void AddConditions(SystemCallScript script, IEnumerable<string> files)
    {
        var conditions = Encoding.UTF8.GetBytes(Conditions(files));
        BinaryPrimitives.WriteInt32LittleEndian(script.Head[ConditionsField..], (int)(script.Place(conditions) - SystemCallScript.Base));
        BinaryPrimitives.WriteInt32LittleEndian(script.Head[(ConditionsField + 4)..], conditions.Length);
    }

    /// <summary>Whether a copy of this one can be made on this host, as it is now.</summary>
    /// <param name="head">The first <see cref="HeadSize"/> bytes of the image.</param>
    public static bool Fits(ReadOnlySpan<byte> head)
    {
        if (head.Length != HeadSize || BinaryPrimitives.ReadUInt32LittleEndian(head[SumField..]) != Sum(head))
            return false;
        var (offset, length) = (BinaryPrimitives.ReadInt32LittleEndian(head[ConditionsField..]), BinaryPrimitives.ReadInt32LittleEndian(head[(ConditionsField + 4)..]));
        if (offset < 0 || length < 0 || offset > head.Length - length)
            return false;
        var conditions = Encoding.UTF8.GetString(head.Slice(offset, length));
        var files = conditions.Split('\n').Where(line => line.StartsWith('/')).Select(line => line[..line.IndexOf(' ', StringComparison.Ordinal)]);
        return Conditions(files) == conditions;
    }

    /// <summary>Starts a copy. It is whole a little later; one that cannot be made exits with an error's number as its status.</summary>
    /// <param name="start">Arguments, and the descriptors that the first one was given. The path is not used.</param>
    /// <param name="launch">Starts a program.</param>
    /// <param name="file">With the image in it.</param>
    /// <param name="offset">Of the image, a multiple of the page size.</param>
    /// <param name="head">The first <see cref="HeadSize"/> bytes of the image.</param>
    /// <exception cref="LinuxException">The program that makes it cannot be executed.</exception>
    /// <exception cref="InvalidDataException">The image is damaged, or of another kernel.</exception>
    public static ChildProcess Start(ProcessStart start, Func<ProcessStart, ChildProcess> launch, FileDescriptor file, long offset, ReadOnlySpan<byte> head)
    {
        var (read, write) = Files.Pipe();
        using (write)
        {
            ChildProcess child;
            using (read)
            using (var loader = Memory.CreateFile("loader", 0, executable: true))
            {
                Files.WriteAt(loader, 0, StaticProgram.Elf(SystemCallScript.Program));
                child = launch(start with
                {
                    Path = $"/proc/self/fd/{LoaderNumber}",
                    Descriptors = [.. start.Descriptors, (read, SystemCallScript.Descriptor), (file, FileNumber), (loader, LoaderNumber)],
                });
            }
            try
            {
                ReadOnlySpan<byte> script = ScriptFor(child.Pid, head, offset);
                while (script.Length > 0)
                    script = script[Files.Write(write, script)..];
                return child;
            }
            catch
            {
                const int kill = 9;
                child.Signal(kill);
                child.Dispose();
                throw;
            }
        }
    }

    /// <summary>The script with what only this process's own beginnings tell.</summary>
    private static byte[] ScriptFor(int pid, ReadOnlySpan<byte> head, long offset)
    {
        var script = head.ToArray();
        var kernels = new Queue<MemoryArea>(MemoryArea.Of(pid).Where(area => KernelAreas.Contains(area.Path)));
        for (var i = SystemCallScript.Count(script) - 1; i >= 0; i--)
        {
            var entry = SystemCallScript.At(script, i);
            if (entry.Number == Libc.SYS_mmap && entry[4] == FileNumber)
                entry[5] += (ulong)offset;
        }
        for (var i = 1; kernels.TryDequeue(out var area); i++)
        {
            var entry = SystemCallScript.At(script, i);
            if (entry.Number != Libc.SYS_mremap || entry[1] != area.Length)
                throw new InvalidDataException($"the kernel's {area.Path} is another");
            entry[0] = area.Start;
        }
        // struct prctl_mm_map: start_stack, arg_start, arg_end, env_start, env_end.
        var stat = ProcessStat.Of(pid);
        var place = 48;
        foreach (var field in (int[])[28, 48, 49, 50, 51])
        {
            BinaryPrimitives.WriteUInt64LittleEndian(script.AsSpan(place), stat[field]);
            place += sizeof(ulong);
        }
        return script;
    }
}
