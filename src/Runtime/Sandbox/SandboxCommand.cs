namespace KataLike.Runtime.Sandbox;

internal static class SandboxCommand
{
    public static Task<int> RunAsync(string[] arguments) => Task.FromResult(arguments.Length < 0 ? 1 : 0);
}
