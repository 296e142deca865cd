namespace KataLike.Conformance.Tests;

/// <summary>The program that looks from inside: compiled statically, for it runs in a root file system that holds nothing else.</summary>
internal static class ProbeProgram
{
    public static async Task CompileAsync(string path)
    {
        var sources = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Probe"), "*.c");
        var compiled = await HostCommand.RunAsync("gcc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-s", "-o", path, .. sources]);
        Assert.True(compiled.ExitCode == 0, compiled.ToString());
    }
}
