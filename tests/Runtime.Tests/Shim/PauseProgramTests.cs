using System.Diagnostics;
using System.Runtime.InteropServices;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Tests.Shim;

public class PauseProgramTests
{
    [SkippableFact]
    public async Task ItSleepsAndItsChildrenAreReaped()
    {
        Skip.IfNot(RuntimeInformation.OSArchitecture == Architecture.X64, "there is none for this architecture");
        var directory = Directory.CreateTempSubdirectory("katalike-pause-").FullName;
        PauseProgram.Write($"{directory}/pause");
        // A child that is there before the program, and ends under it.
        using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", $"mkfifo {directory}/go; (read line < {directory}/go) & echo $!; exec {directory}/pause"])
        {
            RedirectStandardOutput = true,
        })!;
        var child = (await process.StandardOutput.ReadLineAsync())!;
        await UntilAsync(() => File.ReadAllText($"/proc/{process.Id}/cmdline") == $"{directory}/pause\0");
        Assert.True(Directory.Exists($"/proc/{child}"));
        await File.WriteAllTextAsync($"{directory}/go", "\n");
        await UntilAsync(() => !Directory.Exists($"/proc/{child}"));
        Assert.False(process.HasExited);
        process.Kill();
        await process.WaitForExitAsync();
        Directory.Delete(directory, recursive: true);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var clock = Stopwatch.StartNew(); !condition(); await Task.Delay(10))
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30));
    }
}
