using System.Diagnostics;
using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>
/// All memory that a set of processes costs the host: the PSS of the processes, and the pages of their memory files.
/// <para>
/// A memory file is a memfd or shared anonymous memory, a file on a tmpfs, or a file on a disk that is mapped large, writable and
/// shared (a machine's memory). Its pages are counted once, as the file system counts them (what is cached of
/// it, for one on a disk), whoever maps them or nobody: a page of a guest that is in no page table at the moment is resident
/// all the same. So a mapping of such a file adds nothing but the pages that it has copied for itself; of all other mappings
/// the PSS counts. A file that several sandboxes share is counted once for all of them.
/// </para>
/// <para>A tmpfs that only these processes see counts as a whole. Not counted: page cache of disks, and the kernel's own memory.</para>
/// </summary>
internal static class Memory
{
    /// <param name="state">A directory in memory that holds the processes' state: its files count too.</param>
    public static double Mebibytes(IReadOnlyList<int> processes, string state)
    {
        var ours = FileSystems("/proc/self").ToDictionary(mount => mount.Device, mount => mount.Path);
        var inMemory = ours.Keys.ToHashSet();
        var privately = new Dictionary<string, string>();
        long bytes = 0;
        var files = new HashSet<string>(Directory.Exists(state) ? Directory.EnumerateFiles(state, "*", SearchOption.AllDirectories) : []);
        var cached = new HashSet<string>();
        var known = new HashSet<(string, long)>();
        foreach (var pid in processes)
        {
            try
            {
                foreach (var (device, path) in FileSystems($"/proc/{pid}").Where(mount => !ours.ContainsKey(mount.Device)))
                    privately.TryAdd(device, $"/proc/{pid}/root{path}");
                foreach (var mapping in Mapping.Parse(File.ReadLines($"/proc/{pid}/smaps")))
                {
                    var memory = mapping.IsMemfd || inMemory.Contains(mapping.Device);
                    if (!memory && !mapping.IsLargeAndWritable && !privately.ContainsKey(mapping.Device))
                    {
                        bytes += mapping.Pss << 10;
                        continue;
                    }
                    bytes += mapping.Anonymous << 10;
                    if (!privately.ContainsKey(mapping.Device) && known.Add((mapping.Device, mapping.Inode)))
                        (memory ? files : cached).Add($"/proc/{pid}/map_files/{mapping.Range}");
                }
                files.UnionWith(Directory.EnumerateFileSystemEntries($"/proc/{pid}/fd").Where(IsMemfd));
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                // It has ended meanwhile.
            }
        }
        return (bytes + Allocated(files) + Cached(cached) + Used(privately.Values)) / 1048576.0;
    }

    private static bool IsMemfd(string descriptor) => new FileInfo(descriptor).LinkTarget is { } target && Mapping.IsMemfdPath(target);

    /// <summary>Those in memory that a process sees, with a place where each is mounted.</summary>
    private static IEnumerable<(string Device, string Path)> FileSystems(string process) =>
        from line in File.ReadLines($"{process}/mountinfo")
        let fields = line.Split(' ')
        where line.Contains(" - tmpfs ", StringComparison.Ordinal)
        // smaps has the numbers in hexadecimal.
        let numbers = fields[2].Split(':').Select(number => int.Parse(number, CultureInfo.InvariantCulture)).ToArray()
        group fields[4] by $"{numbers[0]:x2}:{numbers[1]:x2}" into mount
        select (mount.Key, mount.First());

    private static long Allocated(IEnumerable<string> files) =>
        Ask("stat", ["-L", "-c", "%d:%i %b %B"], files).DistinctBy(fields => fields[0]).Sum(fields => Number(fields[1]) * Number(fields[2]));

    private static long Cached(IEnumerable<string> files) => Ask("fincore", ["--bytes", "--noheadings", "--output", "RES"], files).Sum(fields => Number(fields[0]));

    private static long Used(IEnumerable<string> mounts) =>
        Ask("stat", ["-f", "-c", "%b %f %S"], mounts).Sum(fields => (Number(fields[0]) - Number(fields[1])) * Number(fields[2]));

    /// <summary>The fields of the lines that a program prints for operands; those that have gone meanwhile have no line.</summary>
    private static IEnumerable<string[]> Ask(string program, string[] options, IEnumerable<string> operands) => operands.Chunk(1000).SelectMany(some =>
    {
        using var process = Process.Start(new ProcessStartInfo(program, [.. options, .. some]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
        var lines = process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        process.WaitForExit();
        return lines.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
    });

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
