using System.Globalization;
using KataLike.Linux;

namespace KataLike.Agent.Service;

/// <summary>The machine's processors. Those that were plugged in, or kept back when the kernel booted, come online here.</summary>
internal static class Processors
{
    private const string Root = "/sys/devices/system/cpu";

    /// <summary>How long a processor that the host has just plugged in may take to show.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Until so many are online, the lowest numbers first; answers with how many are.</summary>
    public static int SetOnline(int count)
    {
        using var changes = Netlink.OpenDeviceEvents();
        var numbers = Arrival.Await(changes, Patience, () => Numbers() is var there && there.Count >= count ? there : null) ?? Numbers();
        // The first has no switch.
        for (var i = 1; i < numbers.Count; i++)
        {
            var wanted = i < count ? "1" : "0";
            var path = $"{Root}/cpu{numbers[i]}/online";
            if (KernelFiles.Read(path).Trim() != wanted)
            {
                KernelFiles.Write(path, wanted);
            }
        }
        return Math.Min(Math.Max(count, 1), numbers.Count);
    }

    private static List<int> Numbers() =>
    [
        .. Directory.EnumerateDirectories(Root, "cpu*")
            .Select(path => int.TryParse(Path.GetFileName(path.AsSpan())[3..], NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : -1)
            .Where(number => number >= 0)
            .Order(),
    ];
}
