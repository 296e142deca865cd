namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>What a container could leave behind on the host: processes of ours, mounts, Unix sockets, files below /run and the root.</summary>
internal sealed record HostInventory(IReadOnlySet<string> Items)
{
    private static readonly string[] Programs = ["katalike", "qemu-system", "virtiofsd"];

    /// <param name="root">The runtime's root: only what belongs to it counts, for other tests run beside this one.</param>
    /// <param name="id">What the names of its containers begin with: QEMU bears the sandbox's name.</param>
    public static HostInventory Take(string root, string id)
    {
        var items = new HashSet<string>();
        foreach (var process in Directory.GetDirectories("/proc").Where(p => char.IsAsciiDigit(Path.GetFileName(p)[0])))
        {
            var command = Read($"{process}/cmdline").Replace('\0', ' ');
            if (Programs.Any(p => command.Contains(p, StringComparison.Ordinal)) && (command.Contains(root, StringComparison.Ordinal) || command.Contains(id, StringComparison.Ordinal)) && !command.StartsWith("/bin/sh", StringComparison.Ordinal))
                items.Add($"process {Path.GetFileName(process)} {command}");
        }
        items.UnionWith(Lines("/proc/self/mounts", root).Select(l => $"mount {l}"));
        items.UnionWith(Lines("/proc/net/unix", root).Select(l => $"socket {l}"));
        foreach (var directory in (string[])[$"{root}/containers", $"{root}/sandboxes"])
        {
            if (Directory.Exists(directory))
                items.UnionWith(Directory.GetFileSystemEntries(directory).Select(e => $"file {e}"));
        }
        return new HostInventory(items);
    }

    public IEnumerable<string> NewSince(HostInventory before) => Items.Except(before.Items);

    private static IEnumerable<string> Lines(string file, string word) =>
        Read(file).Split('\n').Where(l => l.Contains(word, StringComparison.Ordinal));

    private static string Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (IOException)
        {
            return "";
        }
    }
}
