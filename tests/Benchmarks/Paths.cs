using System.Diagnostics;

namespace KataLike.Benchmarks;

/// <summary>How fast files and streams get into a container and out of it. The host has the files in its page cache.</summary>
internal static class Paths
{
    public static readonly Figure First = new("64 MiB file read, first time", "MiB/s", "0", MoreIsBetter: true);
    public static readonly Figure Second = new("64 MiB file read, second time", "MiB/s", "0", MoreIsBetter: true);
    public static readonly Figure Small = new("2,000 small files stat and read", "s", "0.00");
    public static readonly Figure Stream = new("64 MiB from stdin to stdout", "MiB/s", "0", MoreIsBetter: true);

    public static readonly Figure[] Figures = [First, Second, Small, Stream];

    private const int Mebibytes = 64, Directories = 20, FilesOfEach = 100, BytesOfEach = 2000;
    private const string Read = "dd if=/large of=/dev/null bs=1M 2>/dev/null";

    // One process for all files: what it costs to start one is another row.
    private const string StatAndRead = "cd /small; stat -c %s */* >/dev/null; cat */* >/dev/null";

    // The same programs, so that what is measured after it does not have to read them.
    private const string Nothing = "dd if=/dev/null of=/dev/null 2>/dev/null; stat /etc >/dev/null; cat /dev/null";

    /// <param name="busybox">A root file system, which stays as it is.</param>
    /// <exception cref="CommandFailedException">The runtime failed.</exception>
    public static void Measure(ContainerRuntime runtime, string busybox, Results results)
    {
        using var place = new Place();
        using var scope = new Scope();
        MakeFiles(scope, busybox, place.Rootfs);
        try
        {
            scope.Run(runtime.Command(place.Root, "create", "--bundle", Bundle.Make(place.Bundle, place.Rootfs, "sleep", "100000"), "paths"));
            scope.Run(runtime.Command(place.Root, "start", "paths"));
            using (var shell = scope.Start(runtime.Command(place.Root, "exec", "paths", "sh")))
            {
                Time(shell, Nothing);
                results.Of(runtime, First).Add(Mebibytes / Time(shell, Read));
                results.Of(runtime, Second).Add(Mebibytes / Time(shell, Read));
                results.Of(runtime, Small).Add(Time(shell, StatAndRead));
                shell.StandardInput.Close();
                shell.WaitForExit();
            }
            results.Of(runtime, Stream).Add(Mebibytes / Copy(scope, runtime.Command(place.Root, "exec", "paths", "cat")));
        }
        finally
        {
            scope.Try(runtime.Command(place.Root, "delete", "--force", "paths"));
        }
    }

    private static void MakeFiles(Scope scope, string busybox, string rootfs)
    {
        scope.Run(["cp", "-a", busybox, rootfs]);
        var random = new Random(1);
        var bytes = new byte[Mebibytes << 20];
        random.NextBytes(bytes);
        File.WriteAllBytes($"{rootfs}/large", bytes);
        for (var number = 0; number < Directories * FilesOfEach; number++)
        {
            var directory = Directory.CreateDirectory($"{rootfs}/small/{number / FilesOfEach}");
            File.WriteAllBytes($"{directory.FullName}/{number}", bytes.AsSpan(number * BytesOfEach, BytesOfEach));
        }
        // What is still to be written would be written while others are measured.
        scope.Run(["sync", "--file-system", rootfs]);
    }

    /// <summary>By the host's clock: a guest's may be wrong.</summary>
    private static double Time(Process shell, string script)
    {
        var watch = Stopwatch.StartNew();
        shell.StandardInput.WriteLine($"{script}; echo done");
        shell.StandardInput.Flush();
        return shell.StandardOutput.ReadLine() == "done" ? watch.Elapsed.TotalSeconds : throw new CommandFailedException($"no end of: {script}");
    }

    /// <summary>From the first byte's return, by which the process is known to run, to the end of what it prints.</summary>
    private static double Copy(Scope scope, IReadOnlyList<string> command)
    {
        using var process = scope.Start(command);
        var (input, output) = (process.StandardInput.BaseStream, process.StandardOutput.BaseStream);
        var (sent, received) = (new byte[1 << 20], new byte[1 << 20]);
        input.Write(sent, 0, 1);
        input.Flush();
        if (output.ReadByte() < 0)
            throw new CommandFailedException($"{string.Join(' ', command)}: printed nothing");
        var watch = Stopwatch.StartNew();
        var writing = Task.Run(() =>
        {
            for (var mebibyte = 0; mebibyte < Mebibytes; mebibyte++)
                input.Write(sent);
            input.Close();
        });
        long bytes = 0;
        for (int count; (count = output.Read(received)) > 0; bytes += count)
        {
        }
        var seconds = watch.Elapsed.TotalSeconds;
        writing.Wait();
        process.WaitForExit();
        return bytes == Mebibytes << 20 ? seconds : throw new CommandFailedException($"{string.Join(' ', command)}: printed {bytes} bytes");
    }
}
