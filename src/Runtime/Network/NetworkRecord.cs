using System.Globalization;
using KataLike.Linux;

namespace KataLike.Runtime.Network;

/// <summary>
/// sandboxes/ID/network: which interfaces of whose network namespace are redirected. Taps end with QEMU, but the redirection
/// to them stays when a sandbox process is killed: whoever removes its directory takes it back.
/// </summary>
/// <remarks>Lines: the namespace's path; then of each interface its index, and its name.</remarks>
internal sealed class NetworkRecord(string directory, string path)
{
    private const string Name = "network";

    public void Write(IEnumerable<NetworkLink> links) =>
        File.WriteAllLines($"{directory}/{Name}", [path, .. links.Select(link => $"{link.Index} {link.Name}")]);

    /// <summary>Takes back what a dead sandbox process has left; does nothing where it left nothing.</summary>
    public static void CleanUp(string directory)
    {
        try
        {
            if (File.Exists($"{directory}/{Name}") && File.ReadAllLines($"{directory}/{Name}") is [var path, .. var links])
                CleanUp(path, [.. links.Select(int (line) => int.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture))]);
        }
        catch (Exception error) when (error is IOException or FormatException or OverflowException)
        {
            // With the namespace all else has gone too.
        }
    }

    private static void CleanUp(string path, List<int> links)
    {
        using var space = NetworkNamespaces.Open(path);
        // Another sandbox has it by now.
        if (!FileLock.TryAcquire(space))
            return;
        NetworkNamespaces.Run(space, () =>
        {
            using var netlink = Netlink.Open();
            foreach (var link in NetworkLinks.List(netlink).Where(link => links.Contains(link.Index)))
                TrafficControl.Remove(netlink, link);
        });
    }
}
