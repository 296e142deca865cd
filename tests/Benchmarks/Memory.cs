using System.Diagnostics;
using System.Globalization;

namespace KataLike.Benchmarks;

/// <summary>
/// Proportional set size of processes: private pages, and of each shared page the share. Pages of a memfd (the memory of a
/// guest) that lie in no process's page tables at the moment are added, for they are resident all the same.
/// </summary>
internal static class Memory
{
    public static double Mebibytes(IReadOnlyList<int> processes)
    {
        long kilobytes = 0;
        var mapped = new Dictionary<string, long>();
        var resident = new Dictionary<string, long>();
        foreach (var pid in processes)
        {
            try
            {
                kilobytes += Rollup(pid);
                AddMapped(pid, mapped);
                AddResident(pid, resident);
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }
        kilobytes += resident.Sum(file => Math.Max(0, file.Value - mapped.GetValueOrDefault(file.Key)));
        return kilobytes / 1024.0;
    }

    private static long Rollup(int pid) => File.ReadLines($"/proc/{pid}/smaps_rollup")
        .Where(line => line.StartsWith("Pss:", StringComparison.Ordinal)).Select(Kilobytes).FirstOrDefault();

    private static void AddMapped(int pid, Dictionary<string, long> mapped)
    {
        string? inode = null;
        foreach (var line in File.ReadLines($"/proc/{pid}/smaps"))
        {
            if (line.Length > 0 && line[0] is (>= '0' and <= '9') or (>= 'a' and <= 'f'))
                inode = line.Contains("/memfd:", StringComparison.Ordinal) ? line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[4] : null;
            else if (inode is not null && line.StartsWith("Pss:", StringComparison.Ordinal))
                mapped[inode] = mapped.GetValueOrDefault(inode) + Kilobytes(line);
        }
    }

    private static void AddResident(int pid, Dictionary<string, long> resident)
    {
        foreach (var descriptor in Directory.EnumerateFileSystemEntries($"/proc/{pid}/fd"))
        {
            if (new FileInfo(descriptor).LinkTarget?.StartsWith("/memfd:", StringComparison.Ordinal) != true)
                continue;
            using var stat = Process.Start(new ProcessStartInfo("stat", ["-L", "-c", "%i %b", descriptor]) { RedirectStandardOutput = true })!;
            var fields = stat.StandardOutput.ReadToEnd().Split(' ');
            stat.WaitForExit();
            if (fields.Length == 2)
                resident[fields[0]] = long.Parse(fields[1], CultureInfo.InvariantCulture) / 2;
        }
    }

    private static long Kilobytes(string line) =>
        long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
