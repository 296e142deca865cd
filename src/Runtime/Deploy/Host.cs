using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Deploy;

/// <summary>What check and install look at.</summary>
/// <param name="root">Below it are the files of the host; empty: the host's own. Programs are always the host's.</param>
internal sealed class Host(string root)
{
    private static readonly string[] Directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

    public string Root => root;

    public bool Exists(string path) => File.Exists(root + path) || Directory.Exists(root + path);

    /// <summary>A file's text; null if there is none that can be read.</summary>
    public string? Read(string path)
    {
        try
        {
            return File.ReadAllText(root + path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The texts of a directory's files, by path.</summary>
    public IEnumerable<string> ReadAll(string directory) => Directory.Exists(root + directory)
        ? Directory.EnumerateFiles(root + directory).Select(path => Read(path[root.Length..])).OfType<string>() : [];

    public static string? FindProgram(string name) =>
        Directories.Concat((Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Where(Path.IsPathRooted))
            .Select(directory => $"{directory}/{name}").FirstOrDefault(File.Exists);

    /// <summary>What a program prints when asked for its version; null if it does not run.</summary>
    public static string? VersionOf(string program)
    {
        try
        {
            var (read, write) = Files.Pipe();
            using (read)
            {
                using (write)
                {
                    ChildProcess.Start(new ProcessStart
                    {
                        Path = program,
                        Arguments = [program, "--version"],
                        Environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                        Descriptors = [(StandardStreams.Get(2), 2), (write, 1)],
                    }).Dispose();
                }
                Span<byte> text = stackalloc byte[4096];
                var length = 0;
                while (length < text.Length && Files.Read(read, text[length..]) is > 0 and var count)
                    length += count;
                return length > 0 ? Encoding.UTF8.GetString(text[..length]) : null;
            }
        }
        catch (LinuxException)
        {
            return null;
        }
    }

    /// <summary>The first number with a dot in a text: major and minor.</summary>
    public static (int Major, int Minor)? NumberIn(string? text)
    {
        var match = System.Text.RegularExpressions.Regex.Match(text ?? "", @"(\d+)\.(\d+)");
        return match.Success && int.TryParse(match.Groups[1].Value, out var major) && int.TryParse(match.Groups[2].Value, out var minor) ? (major, minor) : null;
    }
}
