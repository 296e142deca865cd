using System.Diagnostics;

namespace KataLike.EndToEnd.Tests.Containerd;

/// <summary>What a program of the host did.</summary>
internal sealed record CommandResult(string Command, int ExitCode, byte[] Output, string Error)
{
    public string Text => System.Text.Encoding.UTF8.GetString(Output).ReplaceLineEndings("\n").Trim();

    public override string ToString() => $"{Command}\nexit code {ExitCode}\nstdout: {Text}\nstderr: {Error}";
}

/// <summary>Runs a program of the host to its end; one that takes two minutes is killed and fails the test.</summary>
internal static class HostCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public static async Task<CommandResult> RunAsync(string program, IEnumerable<string> arguments, byte[]? input = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        using var output = new MemoryStream();
        var reading = process.StandardOutput.BaseStream.CopyToAsync(output);
        var error = process.StandardError.ReadToEndAsync();
        var writing = WriteAsync(process.StandardInput.BaseStream, input ?? []);
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', start.ArgumentList)} did not end in {Patience.TotalSeconds:0} s");
        }
        await Task.WhenAll(reading, error, writing);
        return new CommandResult($"{program} {string.Join(' ', start.ArgumentList)}", process.ExitCode, output.ToArray(), await error);
    }

    private static async Task WriteAsync(Stream stream, byte[] input)
    {
        try
        {
            await stream.WriteAsync(input);
            stream.Close();
        }
        catch (IOException)
        {
            // The program ended without reading it all.
        }
    }
}
