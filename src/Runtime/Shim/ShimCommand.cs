namespace KataLike.Runtime.Shim;

internal static class ShimCommand
{
    public static Task<int> RunAsync(string[] arguments) => Task.FromResult(arguments.Length < 0 ? 1 : 0);
}
