using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>A machine that waits to be saved, and of which every sandbox then gets a copy.</summary>
internal static class Template
{
    /// <summary>What the host waits for on the console before it saves the machine.</summary>
    private const string Ready = "ready to be saved";

    /// <summary>Left to the kernel while all other free memory is taken, KiB.</summary>
    private const long Margin = 16 << 10;

    /// <summary>In which the kernel tells the host of all memory that is free, some of it every two seconds. A copy would do it again.</summary>
    private static readonly TimeSpan ReportTime = TimeSpan.FromSeconds(12);

    /// <summary>
    /// Whatever boot has left in memory that is free again becomes zeroes, which are not saved. Nothing here asks for random
    /// numbers, nor for the boot id, which the kernel makes when it is first read: they would be the same in all copies.
    /// </summary>
    public static void Prepare()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        KernelFiles.Write("/proc/sys/vm/drop_caches", "3");
        Memory.Clear((ulong)Math.Max(0, Free() - Margin) << 10);
        Thread.Sleep(ReportTime);
        Log.Error(Ready);
    }

    private static long Free()
    {
        var text = KernelFiles.Read("/proc/meminfo");
        var line = text[text.IndexOf("MemFree:", StringComparison.Ordinal)..].Split(' ', 3, StringSplitOptions.RemoveEmptyEntries);
        return long.Parse(line[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
