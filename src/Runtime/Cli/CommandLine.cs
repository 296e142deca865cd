namespace KataLike.Runtime.Cli;

internal static class CommandLine
{
    public static Task<int> RunAsync(string[] arguments) => Task.FromResult(arguments.Length < 0 ? 1 : 0);
}
