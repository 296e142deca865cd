using System.Text;
using Microsoft.Win32.SafeHandles;

namespace KataLike.Runtime.Cli;

/// <summary>Standard output without the Console class, which starts threads and takes over signals.</summary>
internal static class StandardOutput
{
    public static FileStream Open(int descriptor) =>
        new(new SafeFileHandle(descriptor, ownsHandle: false), FileAccess.Write, bufferSize: 0);

    public static void Write(string text, int descriptor = 1)
    {
        try
        {
            Open(descriptor).Write(Encoding.UTF8.GetBytes(text));
        }
        catch (IOException)
        {
            // Nobody reads: not an error of the command.
        }
    }
}
