using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;

namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_open = 2, SYS_close = 3, SYS_mmap = 9, SYS_rt_sigaction = 13, SYS_rt_sigprocmask = 14, SYS_rt_sigreturn = 15;
    internal const int SYS_mremap = 25, SYS_clone = 56, SYS_ftruncate = 77, SYS_sigaltstack = 131, SYS_arch_prctl = 158, SYS_set_tid_address = 218;
    internal const int SYS_set_robust_list = 273, SYS_signalfd4 = 289, SYS_eventfd2 = 290, SYS_memfd_create = 319, SYS_rseq = 334;

    internal const int PROT_EXEC = 4, MAP_FIXED = 0x10, MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, SIG_SETMASK = 2, SS_DISABLE = 2;
    internal const int PR_SET_NAME = 15, PR_SET_MM = 35, PR_SET_MM_MAP = 14, ARCH_SET_FS = 0x1002;
    internal const int F_DUPFD = 0;
    internal const uint SECCOMP_FILTER_FLAG_TSYNC = 1;
    internal const int CLONE_VM = 0x100, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x10000;
    internal const int CLONE_SYSVSEM = 0x40000, CLONE_SETTLS = 0x80000, CLONE_CHILD_CLEARTID = 0x200000, CLONE_CHILD_SETTID = 0x1000000;
}

/// <summary>
/// Makes a <see cref="ProcessImage"/> of a process all of whose threads wait. It may have memory of its own, files that it was given or has in memory, and
/// event and signal descriptors; if it has anything else, that is said and nothing is made.
/// </summary>
public sealed class ProcessCapture
{
    private const int PageSize = PageMap.PageSize;

    /// <summary>So many pages are rather written than left out: each gap makes a mapping more.</summary>
    private const int LargestGap = 16;

    /// <summary>What the first thread's stack may grow to, bytes.</summary>
    private const ulong StackSize = 8 << 20;

    private const ulong PrivateFixed = Libc.MAP_PRIVATE | Libc.MAP_FIXED;

    private readonly TracedProcess _process;
    private readonly int _given;
    private readonly IReadOnlyList<FilePart> _kept;
    private readonly Stream _image;
    private readonly SystemCallScript _script = new();
    private readonly List<MemoryArea> _areas;

    // Files that are mapped, by inode, and their descriptors.
    private readonly Dictionary<ulong, int> _shared = [];
    private readonly List<string> _files = [];

    // The lowest number of a descriptor that the process has not.
    private int _free;

    private ProcessCapture(TracedProcess process, int given, IReadOnlyList<FilePart> kept, Stream image)
    {
        (_process, _given, _kept, _image) = (process, given, kept, image);
        _areas = MemoryArea.Of(process.Pid);
    }

    /// <summary>Writes the image of a process, which stands still meanwhile and goes on then.</summary>
    /// <param name="given">Descriptors below this number are given to each copy.</param>
    /// <param name="kept">What the image keeps of given files in memory: a copy has what the process sees there now, and its own when it writes.</param>
    /// <param name="image">Empty.</param>
    /// <exception cref="InvalidDataException">The process has something that cannot be kept: what.</exception>
    /// <exception cref="LinuxException">It cannot be looked into.</exception>
    public static void Write(int pid, int given, IReadOnlyList<FilePart> kept, Stream image)
    {
        using var process = TracedProcess.Stop(pid);
        image.SetLength(SystemCallScript.Size);
        image.Position = SystemCallScript.Size;
        new ProcessCapture(process, given, kept, image).Write();
    }

    private void Write()
    {
        if (_areas[0].Start < SystemCallScript.Base + SystemCallScript.Size)
            throw new InvalidDataException($"it has memory at 0x{_areas[0].Start:x}, where the script is to be");
        _script.Call(Libc.SYS_rt_sigprocmask, Libc.SIG_SETMASK, _script.Place(ulong.MaxValue), 0, sizeof(ulong));
        // Where they are before is filled in for each copy.
        foreach (var area in _areas.Where(area => ProcessImage.KernelAreas.Contains(area.Path)))
            _script.Expect(area.Start, Libc.SYS_mremap, 0, area.Length, area.Length, Libc.MREMAP_MAYMOVE | Libc.MREMAP_FIXED, area.Start);
        Descriptors();
        MapAll();
        ProcessImage.MarkWhole(_script, _free);
        SignalHandlers();
        MemoryLayout();
        foreach (var thread in _process.Threads.Skip(1))
            Clone(thread);
        GoOn(_process.Threads[0]);
        var script = ProcessImage.Finish(_script);
        _image.Position = 0;
        _image.Write(script);
    }

    private IEnumerable<KeyValuePair<string, string>> DescriptorInfo(int number) =>
        from line in File.ReadLines($"/proc/{_process.Pid}/fdinfo/{number}")
        let colon = line.IndexOf(':', StringComparison.Ordinal)
        select KeyValuePair.Create(line[..colon], line[(colon + 1)..].Trim());

    /// <summary>In rising order: each new one gets the lowest number that is free.</summary>
    private void Descriptors()
    {
        var kinds = Directory.EnumerateFileSystemEntries($"/proc/{_process.Pid}/fd")
            .ToDictionary(path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture), path => new FileInfo(path).LinkTarget ?? "");
        var gaps = new List<int>();
        _free = Enumerable.Range(0, kinds.Count + 1).First(number => !kinds.ContainsKey(number));
        for (var number = 0; number <= kinds.Keys.Max(); number++)
        {
            if (number >= ProcessImage.FirstReserved)
                throw new InvalidDataException($"it has {kinds.Count} descriptors");
            if (!kinds.TryGetValue(number, out var kind))
            {
                if (number < _given)
                    throw new InvalidDataException($"descriptor {number}, which it was given, is closed");
                gaps.Add(number);
                _script.Expect((ulong)number, Libc.SYS_fcntl, 0, Libc.F_DUPFD, 0);
                continue;
            }
            var info = new Dictionary<string, string>(DescriptorInfo(number));
            var flags = Convert.ToInt32(info["flags"], 8);
            if (number < _given)
                GivenDescriptor(number, kind, info, flags);
            else
                OwnDescriptor(number, kind, info, (ulong)(flags & (Libc.O_CLOEXEC | Libc.O_NONBLOCK)));
        }
        foreach (var gap in gaps)
            _script.Call(Libc.SYS_close, (ulong)gap);
    }

    private void GivenDescriptor(int number, string kind, Dictionary<string, string> info, int flags)
    {
        if (kind.StartsWith("/memfd:", StringComparison.Ordinal))
            _shared[ulong.Parse(info["ino"], CultureInfo.InvariantCulture)] = number;
        if ((flags & Libc.O_NONBLOCK) != 0)
            _script.Call(Libc.SYS_fcntl, (ulong)number, Libc.F_SETFL, Libc.O_NONBLOCK);
    }

    private void OwnDescriptor(int number, string kind, Dictionary<string, string> info, ulong flags)
    {
        var closeOnExec = (flags & Libc.O_CLOEXEC) != 0;
        var inode = ulong.Parse(info["ino"], CultureInfo.InvariantCulture);
        if (kind == "anon_inode:[eventfd]" && info.GetValueOrDefault("eventfd-semaphore", "0") == "0")
        {
            _script.Expect((ulong)number, Libc.SYS_eventfd2, Convert.ToUInt64(info["eventfd-count"], 16), flags);
        }
        else if (kind == "anon_inode:[signalfd]")
        {
            _script.Expect((ulong)number, Libc.SYS_signalfd4, ulong.MaxValue, _script.Place(Convert.ToUInt64(info["sigmask"], 16)), sizeof(ulong), flags);
        }
        else if (_shared.TryGetValue(inode, out var same))
        {
            _script.Expect((ulong)number, Libc.SYS_fcntl, (ulong)same, closeOnExec ? (ulong)Libc.F_DUPFD_CLOEXEC : Libc.F_DUPFD, 0);
        }
        else if (kind is "/dev/urandom" or "/dev/null")
        {
            _script.Expect((ulong)number, Libc.SYS_open, _script.Place(kind), (ulong)Convert.ToInt32(info["flags"], 8));
        }
        else if (kind.StartsWith("/memfd:", StringComparison.Ordinal))
        {
            using var file = Files.Open($"/proc/{_process.Pid}/fd/{number}", Files.ReadOnly);
            if (Files.Status(file).Allocated != 0)
                throw new InvalidDataException($"descriptor {number} is a file in memory, and not empty");
            var name = kind["/memfd:".Length..].Replace(" (deleted)", "", StringComparison.Ordinal);
            _script.Expect((ulong)number, Libc.SYS_memfd_create, _script.Place(name), closeOnExec ? Libc.MFD_CLOEXEC : 0);
            _script.Call(Libc.SYS_ftruncate, (ulong)number, Files.Status(file).Size);
            _shared[inode] = number;
        }
        else
        {
            throw new InvalidDataException($"descriptor {number} is {kind}");
        }
    }

    private void MapAll()
    {
        using var pages = new PageMap(_process.Pid);
        var end = 0ul;
        foreach (var area in _areas.Where(area => area.Path != "[vsyscall]" && !ProcessImage.KernelAreas.Contains(area.Path)))
        {
            Map(area, end);
            end = area.End;
            if (area.Shared)
                WriteKept(area);
            else if (area.Protection != 0)
                WritePages(area, pages);
        }
        if (_files.Count > 0)
            _script.Call(Libc.SYS_close, (ulong)_free);
        ProcessImage.AddConditions(_script, _files);
    }

    /// <param name="free">Where the area before this one ends.</param>
    private void Map(MemoryArea area, ulong free)
    {
        if (area.Shared)
        {
            if (!_shared.TryGetValue(area.Inode, out var number))
                throw new InvalidDataException($"it shares memory: {area.Path}");
            _script.Expect(
                area.Start, Libc.SYS_mmap, area.Start, area.Length, area.Protection, Libc.MAP_SHARED | Libc.MAP_FIXED | Libc.MAP_NORESERVE, (ulong)number, area.Offset);
        }
        else if (area.Inode == 0 || area.Protection == 0)
        {
            var start = area.Path == "[stack]" ? Math.Min(area.Start, Math.Max(area.End - StackSize, free)) : area.Start;
            _script.Expect(start, Libc.SYS_mmap, start, area.End - start, area.Protection, PrivateFixed | Libc.MAP_ANONYMOUS | Libc.MAP_NORESERVE, ulong.MaxValue, 0);
        }
        else
        {
            Open(area.Path);
            _script.Expect(area.Start, Libc.SYS_mmap, area.Start, area.Length, area.Protection, PrivateFixed, (ulong)_free, area.Offset);
        }
    }

    /// <summary>A file's areas follow each other.</summary>
    private void Open(string path)
    {
        if (_files.LastOrDefault() == path)
            return;
        // Of one that was removed the kernel says so after a blank; the conditions have one after each path.
        if (path.Contains(' ', StringComparison.Ordinal))
            throw new InvalidDataException($"it has mapped {path}");
        if (_files.Count > 0)
            _script.Call(Libc.SYS_close, (ulong)_free);
        _files.Add(path);
        _script.Expect((ulong)_free, Libc.SYS_open, _script.Place(path), Libc.O_CLOEXEC);
    }

    private void WriteKept(MemoryArea area)
    {
        foreach (var part in _kept.Where(part => part.Descriptor == _shared[area.Inode]))
        {
            var (start, end) = (Math.Max(part.Offset, area.Offset), Math.Min(part.Offset + part.Length, area.Offset + area.Length));
            if (start < end)
                WriteRun(area, (int)((start - area.Offset) / PageSize), (int)((end - area.Offset) / PageSize));
        }
    }

    /// <summary>Those pages of an area that are the process's own, in runs.</summary>
    private void WritePages(MemoryArea area, PageMap pages)
    {
        var owned = OwnPages(area, pages);
        for (var first = 0; first < owned.Length; first++)
        {
            if (!owned[first])
                continue;
            var (last, gap) = (first, 0);
            for (var i = first + 1; i < owned.Length && gap <= LargestGap; i++)
                (last, gap) = owned[i] ? (i, 0) : (last, gap + 1);
            WriteRun(area, first, last + 1);
            first = last;
        }
    }

    private void WriteRun(MemoryArea area, int first, int end)
    {
        var start = area.Start + (ulong)first * PageSize;
        _script.Expect(
            start, Libc.SYS_mmap, start, (ulong)(end - first) * PageSize, area.Protection, PrivateFixed, ProcessImage.FileNumber, (ulong)_image.Position);
        var page = new byte[PageSize];
        for (var i = first; i < end; i++)
        {
            _process.Read(area.Start + (ulong)i * PageSize, page);
            _image.Write(page);
        }
    }

    /// <summary>Memory of nothing but zeroes is made again by itself.</summary>
    private bool[] OwnPages(MemoryArea area, PageMap pages)
    {
        var entries = pages.Of(area);
        var owned = new bool[entries.Length];
        var page = new byte[PageSize];
        for (var i = 0; i < entries.Length; i++)
        {
            if (!entries[i].Own)
                continue;
            _process.Read(area.Start + (ulong)i * PageSize, page);
            owned[i] = area.Inode != 0 || page.AsSpan().ContainsAnyExcept((byte)0);
        }
        return owned;
    }

    private void SignalHandlers()
    {
        const int signals = 64, actionSize = 32, stackSize = 24, stackFlags = 8, kill = 9, stop = 19;
        for (var signal = 1ul; signal <= signals; signal++)
        {
            if (signal is kill or stop)
                continue;
            var number = signal;
            var action = _process.Ask(actionSize, place => _process.Call(Libc.SYS_rt_sigaction, number, 0, place, sizeof(ulong)));
            if (action.AsSpan().ContainsAnyExcept((byte)0))
                _script.Call(Libc.SYS_rt_sigaction, signal, _script.Place(action), 0, sizeof(ulong));
        }
        var stack = _process.Ask(stackSize, place => _process.Call(Libc.SYS_sigaltstack, 0, place));
        if (BinaryPrimitives.ReadInt32LittleEndian(stack.AsSpan(stackFlags)) != Libc.SS_DISABLE)
            throw new InvalidDataException("it has a stack of its own for signals");
    }

    /// <summary>struct prctl_mm_map: where the heap grows; the rest is for those who look at the process.</summary>
    private void MemoryLayout()
    {
        var stat = ProcessStat.Of(_process.Pid);
        var heap = _areas.FirstOrDefault(area => area.Path == "[heap]")?.End ?? stat[47];
        // start_code, end_code, start_data, end_data, start_brk, brk; six that each copy has of its own; auxv_size and exe_fd: none.
        ulong[] map = [stat[26], stat[27], stat[45], stat[46], stat[47], heap, 0, 0, 0, 0, 0, 0, (ulong)uint.MaxValue << 32];
        MemoryMarshal.AsBytes(map.AsSpan()).CopyTo(_script.Head);
        _script.Call(Libc.SYS_prctl, Libc.PR_SET_MM, Libc.PR_SET_MM_MAP, SystemCallScript.Base, ProcessImage.MapSize, 0);
    }

    private void Clone(TracedThread thread) => _script.Branch(
        Libc.CLONE_VM | Libc.CLONE_FS | Libc.CLONE_FILES | Libc.CLONE_SIGHAND | Libc.CLONE_THREAD | Libc.CLONE_SYSVSEM | Libc.CLONE_SETTLS
            | Libc.CLONE_CHILD_CLEARTID | Libc.CLONE_CHILD_SETTID,
        IdPlace(thread), thread.Registers.fs_base, () => GoOn(thread));

    /// <summary>Where the C library keeps a thread's number: glibc's struct pthread, tid.</summary>
    private ulong IdPlace(TracedThread thread)
    {
        const ulong offset = 0x2d0;
        Span<byte> id = stackalloc byte[sizeof(int)];
        _process.Read(thread.Registers.fs_base + offset, id);
        return BinaryPrimitives.ReadInt32LittleEndian(id) == thread.Id
            ? thread.Registers.fs_base + offset : throw new InvalidDataException("its C library keeps the numbers of threads where it is not known");
    }

    /// <summary>What a thread does to be what it was.</summary>
    private void GoOn(TracedThread thread)
    {
        var first = thread == _process.Threads[0];
        if (first)
        {
            _script.Call(Libc.SYS_arch_prctl, Libc.ARCH_SET_FS, thread.Registers.fs_base);
            _script.Store(IdPlace(thread), Libc.SYS_set_tid_address, IdPlace(thread));
        }
        if (thread.RobustList.Address != 0)
            _script.Call(Libc.SYS_set_robust_list, thread.RobustList.Address, thread.RobustList.Length);
        if (thread.RestartableSequences is { rseq_abi_pointer: > 0 } sequences)
            _script.Try(Libc.SYS_rseq, sequences.rseq_abi_pointer, sequences.rseq_abi_size, 0, sequences.signature);
        _script.Call(Libc.SYS_prctl, Libc.PR_SET_NAME, _script.Place(thread.Name));
        if (first)
        {
            foreach (var number in (int[])[SystemCallScript.Descriptor, ProcessImage.FileNumber, ProcessImage.LoaderNumber])
                _script.Call(Libc.SYS_close, (ulong)number);
            Filters();
        }
        const int afterReturnAddress = 8, alignment = 64;
        _script.CallOn(_script.Place(MemoryMarshal.AsBytes<ulong>(Frame(thread)), alignment) + afterReturnAddress, Libc.SYS_rt_sigreturn);
    }

    /// <summary>At the very end, and for all threads at once: they may forbid what makes the process.</summary>
    private void Filters()
    {
        const int instructionSize = 8;
        var filters = _process.Filters();
        if (filters.Count > 0)
            _script.Call(Libc.SYS_prctl, Libc.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        foreach (var filter in filters.Reverse())
        {
            var program = _script.Place((ulong)(filter.Length / instructionSize), _script.Place(filter));
            _script.Call(Libc.SYS_seccomp, Libc.SECCOMP_SET_MODE_FILTER, Libc.SECCOMP_FILTER_FLAG_TSYNC, program);
        }
    }

    /// <summary>struct rt_sigframe: the registers. Those of floating point begin anew, as a function may find them after a system call.</summary>
    private static ulong[] Frame(TracedThread thread)
    {
        const long restartFirst = -514, restartLast = -512, restartBlock = -516; // ERESTARTNOHAND to ERESTARTSYS; ERESTART_RESTARTBLOCK
        const ulong flags = 6; // UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
        var r = thread.Registers;
        if ((long)r.rax is >= restartFirst and <= restartLast)
            (r.rax, r.rip) = (r.orig_rax, r.rip - SystemCallScript.CallLength);
        else if ((long)r.rax == restartBlock)
            r.rax = unchecked((ulong)-(long)Errno.EINTR);
        return
        [
            0, // the return address
            flags, 0, 0, Libc.SS_DISABLE, 0, // uc_flags, uc_link, uc_stack
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip, r.eflags,
            r.cs | r.ss << 48, 0, 0, 0, 0, 0, // segments, err, trapno, oldmask, cr2, fpstate
            0, 0, 0, 0, 0, 0, 0, 0,
            thread.SignalMask,
        ];
    }
}
