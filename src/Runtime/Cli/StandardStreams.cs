using System.Text;
using KataLike.Linux;

namespace KataLike.Runtime.Cli;

/// <summary>This process's own standard input, output and error.</summary>
internal static class StandardStreams
{
    private static readonly FileDescriptor[] Numbers = [new(0, ownsHandle: false), new(1, ownsHandle: false), new(2, ownsHandle: false)];
    private static FileDescriptor[] replaced = [];

    public static FileDescriptor Get(int number) => Numbers[number];

    /// <summary>Without the Console class, which starts threads and takes over signals.</summary>
    public static void WriteOutput(string text) => Write(Get(1), text);

    public static void WriteError(string text) => Write(Get(2), text);

    public static byte[] ReadInput()
    {
        var bytes = new List<byte>();
        Span<byte> buffer = stackalloc byte[4096];
        for (int count; (count = Files.Read(Get(0), buffer)) > 0;)
            bytes.AddRange(buffer[..count]);
        return [.. bytes];
    }

    /// <summary>That nobody reads any more is no error of the command.</summary>
    public static void Write(FileDescriptor file, string text)
    {
        ReadOnlySpan<byte> rest = Encoding.UTF8.GetBytes(text);
        while (rest.Length > 0 && Files.TryWrite(file, rest) is > 0 and var count)
            rest = rest[(int)count..];
    }

    /// <summary>Lets go of what the caller gave: its reader shall see the end when the container closes its own.</summary>
    public static void Release()
    {
        foreach (var number in Numbers)
            new FileDescriptor(number.Number).Dispose();
        // The lowest free numbers are given out first: 0, 1 and 2.
        replaced = [.. Numbers.Select(_ => Files.Open("/dev/null", Files.ReadWrite))];
    }
}
