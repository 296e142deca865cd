namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>What /proc tells of a process of the host, which may end meanwhile.</summary>
internal static class Proc
{
    public static string CommandLine(int pid) => Read($"/proc/{pid}/cmdline").Replace('\0', ' ');

    public static bool IsZombie(int pid)
    {
        var stat = Read($"/proc/{pid}/stat");
        return stat.Length == 0 || stat[(stat.LastIndexOf(')') + 2)] is 'Z' or 'X';
    }

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
