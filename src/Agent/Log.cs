using System.Globalization;
using System.Text;
using KataLike.Linux;

namespace KataLike.Agent;

/// <summary>Lines on the serial console, with the kernel's clock. Each byte costs the guest time: few lines.</summary>
internal static class Log
{
    private static readonly FileDescriptor? Console = Open();
    private static bool _debug;

    public static void Configure(KernelParameters parameters) => _debug = parameters["katalike.log"] == "debug";

    public static void Error(string message) => Write(message);

    /// <summary>Told only with katalike.log=debug on the kernel's command line.</summary>
    public static void Debug(string message)
    {
        if (_debug)
        {
            Write(message);
        }
    }

    private static void Write(string message)
    {
        if (Console is null)
        {
            return;
        }
        var seconds = (Environment.TickCount64 / 1000.0).ToString("F3", CultureInfo.InvariantCulture);
        ReadOnlySpan<byte> line = Encoding.UTF8.GetBytes($"[{seconds,9}] katalike-agent: {message}\n");
        while (line.Length > 0 && Files.TryWrite(Console, line) is > 0 and var count)
        {
            line = line[(int)count..];
        }
    }

    private static FileDescriptor? Open()
    {
        try
        {
            return Files.Open("/dev/console", Files.WriteOnly | Files.NoControllingTerminal);
        }
        catch (LinuxException)
        {
            return null;
        }
    }
}
